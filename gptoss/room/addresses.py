"""Addresses of a room as a phone can open them, and as a code that a phone reads."""

from __future__ import annotations

import io
import re
import socket

import segno

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
_NOWHERE = ("10.255.255.255", 9)  # nothing is sent there: it only asks which of this machine's addresses would


def for_phones(app: str, code: str) -> str:
    """The address of a room's page for phones, from the app's own as the lecturer's browser has it: `http://host:8501/`.

    Where that is the lecturer's own machine, phones get the machine's address in its network.
    """
    return f"{from_elsewhere(app)}room/{code}"


def from_elsewhere(app: str) -> str:
    """The app's address as other machines can open it, from its own as a browser here has it: `http://host:8501/`."""
    scheme, _, rest = app.partition("://")
    host, slash, base = rest.partition("/")
    name, port = _split(host)
    if name in ("localhost", "[::1]", "::1") or name.startswith("127."):
        host = (own_address() or name) + port
    return f"{scheme}://{host}/{base.strip('/') + '/' if base.strip('/') else ''}"


def own_address() -> str:
    """This machine's address in its network; empty where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(_NOWHERE)
            found = asking.getsockname()[0]
        except OSError:
            return ""
    return "" if found.startswith(("127.", "0.")) else found


def is_host(text: str) -> bool:
    """Whether a request's `Host` is one that can stand in an address."""
    name, port = _split(text)
    return bool(_HOST.fullmatch(name) and re.fullmatch(r"(:\d{1,5})?", port)) and len(text) < 256


def picture(address: str) -> str:
    """An address as a QR code: SVG, black on white whatever the theme, as large as whoever shows it wants."""
    made, out = segno.make_qr(address, error="m"), io.BytesIO()
    made.save(out, kind="svg", border=4, light="#fff", omitsize=True, title=address)
    return out.getvalue().decode()


def _split(host: str) -> tuple[str, str]:
    """Name and port, the port with its colon."""
    found = re.search(r":\d+$", host) if host.startswith("[") or host.count(":") < 2 else None
    return (host[:found.start()], found[0]) if found else (host, "")
