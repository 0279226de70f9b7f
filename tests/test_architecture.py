"""The house: doors open one way, Streamlit stays in its rooms, and no file knows the machine it was written on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*ROOT.glob("gptoss/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "app.py"])

# Each room may import from its own floor and from those below it.
FLOORS = (("config", "ladder"), ("checkpoint",), ("model",), ("anatomy", "charts", "training", "trace", "cost", "tokenizer"),
          ("dashboard",), ("pages", "app"))
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# config.scale_model counts parameters; the import stands inside the function.
EXCEPTIONS = {("config", "cost")}


def room_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "gptoss" else parts[0]


def imported_modules(tree):
    """Every module imported anywhere below `tree`; `from a import b` may mean the module a.b, so it is told too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports here are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def outside_of_functions(tree):
    """The statements that run when a module is imported."""
    return ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.ClassDef)], [])


def imports_of(path, at_import_time=False):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return set(imported_modules(outside_of_functions(tree) if at_import_time else tree))


def rooms_entered(modules):
    """The rooms that belong to these modules; names of `gptoss` itself come from its config or its model."""
    rooms = {module.split(".")[1] for module in modules if module.startswith("gptoss.")}
    return {room if room in FLOOR_OF else "model" for room in rooms}


def loads(statement, *modules):
    """Which of `modules` are loaded after a fresh Python has run `statement`."""
    script = f"{statement}\nimport sys\nprint(*(name for name in {modules!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_there_is_something_to_look_at():
    assert {"config", "model", "checkpoint", "cost", "tokenizer", "trace"} <= {room_of(path) for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_doors_open_one_way(path):
    room = room_of(path)
    if room == "__init__":
        assert rooms_entered(imports_of(path, at_import_time=True)) <= {"config", "model"}
        return
    for entered in rooms_entered(imports_of(path)):
        allowed = FLOOR_OF[entered] <= FLOOR_OF[room] or (room, entered) in EXCEPTIONS
        assert allowed, f"{room} may not import {entered}"


def test_exceptions_hide_inside_functions():
    assert not rooms_entered(imports_of(ROOT / "gptoss/config.py", at_import_time=True)) - {"config"}


def test_rooms_of_one_floor_do_not_import_each_other_in_a_circle():
    doors = {}
    for path in SOURCES:
        doors.setdefault(room_of(path), set()).update(rooms_entered(imports_of(path)) - {room_of(path)})
    doors = {room: {other for other in others if (room, other) not in EXCEPTIONS} for room, others in doors.items()}
    while doors:
        leaves = {room for room, others in doors.items() if not others & doors.keys()}
        assert leaves, f"these import each other: {sorted(doors)}"
        doors = {room: others for room, others in doors.items() if room not in leaves}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_dashboard_its_pages_and_the_app_import_streamlit(path):
    if room_of(path) not in ("dashboard", "pages", "app"):
        assert not {module for module in imports_of(path) if module.split(".")[0] == "streamlit"}


def test_charts_need_no_torch():
    for path in ROOT.glob("gptoss/charts/*.py"):
        modules = imports_of(path)
        assert not {module for module in modules if module.split(".")[0] in ("torch", "transformers")}, path.name
        assert not rooms_entered(modules) & {"model", "checkpoint", "trace", "training"}, path.name


@pytest.mark.parametrize("statement", [
    "import gptoss", "from gptoss import PRESETS, ModelConfig", "import gptoss.tokenizer", "import gptoss.cost"])
def test_light_rooms_load_neither_torch_nor_streamlit(statement):
    assert loads(statement, "torch", "streamlit", "gptoss.config") == ["gptoss.config"]


def test_the_model_loads_no_streamlit_and_no_transformers():
    assert loads("from gptoss import Transformer, RotaryEmbedding", "streamlit", "transformers", "torch") == ["torch"]


def test_gptoss_exports_what_it_names():
    import gptoss

    for name in gptoss.__all__:
        assert getattr(gptoss, name).__name__ == name if not name.endswith("PRESETS") else getattr(gptoss, name)
    with pytest.raises(AttributeError, match="gptoss.*has no attribute 'Nothing'"):
        _ = gptoss.Nothing


def files_of_the_repository():
    """Everything that git knows or would take in."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_package_registry():
    # Put together from parts, so that this file passes its own test.
    machine = r"(?<![\w.:/>-])/(?:" + "|".join(("work", "home", "root", "Users", "tmp", "mnt")) + r")/\w"
    registry = "|".join(("pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.org"))
    found = []
    for path in files_of_the_repository():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
            if re.search(f"{machine}|{registry}", line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    assert not found
