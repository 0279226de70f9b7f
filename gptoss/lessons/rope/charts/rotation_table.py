"""The cosines or sines that turn queries and keys, as a picture with axes."""

from __future__ import annotations

import base64

import numpy as np

from gptoss.charts import palette
from gptoss.charts.images import Picture, tensor_picture
from gptoss.charts.svg import Pen

_WIDTH, _LEFT, _TOP, _IMAGE_HEIGHT, _BELOW = 560, 62, 40, 260, 60
_TICKS = 4  # labels on an axis, its first and last place among them
_SIZE = 20  # px of text; drawings shrink with a narrow page


class _PicturePen(Pen):
    """A pen that can also place pixels."""

    def image(self, picture: Picture, x: float, y: float, width: float, height: float) -> None:
        """A picture stretched to a rectangle, its cells with sharp edges."""
        data = base64.b64encode(picture.png()).decode()
        self._elements.append(
            f'<image href="data:image/png;base64,{data}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" '
            f'preserveAspectRatio="none" style="image-rendering:pixelated"/>')


def rotation_table(values: np.ndarray, name: str, start: int) -> str:
    """A matrix (pairs, positions) of cosines or sines as SVG: a row per pair, a column per position from `start` on.

    `name` is what the values are. Blue is negative, orange positive, clear is zero.
    """
    pairs, positions = values.shape
    picture = tensor_picture(values, max_rows=pairs, max_columns=positions, enlarge=False)
    pen, width = _PicturePen(), _WIDTH - _LEFT - 10
    pen.image(picture, _LEFT, _TOP, width, _IMAGE_HEIGHT)
    pen.path(f"M{_LEFT} {_TOP}V{_TOP + _IMAGE_HEIGHT}H{_WIDTH - 10}", palette.MUTED, width=1.5)
    pen.text(0, 22, "pair", _SIZE, faint=True)
    ends = f"{values.min():.2f} (blue) to {values.max():.2f} (orange)".replace("-", "−")
    pen.text(_LEFT, 22, f"{name}, {ends}", _SIZE, bold=True)
    for place in _ticks(pairs):
        y = _TOP + (place + 0.5) / pairs * _IMAGE_HEIGHT
        pen.text(_LEFT - 8, y + 7, str(place), _SIZE, "end", faint=True)
    for place in _ticks(positions):
        x = _LEFT + (place + 0.5) / positions * width
        pen.text(x, _TOP + _IMAGE_HEIGHT + 24, f"{start + place:,}", _SIZE,
                 "end" if place == positions - 1 else "start" if place == 0 else "middle", faint=True)
    pen.text(_LEFT + width / 2, _TOP + _IMAGE_HEIGHT + 52, "position (tokens)", _SIZE, "middle", faint=True)
    return pen.picture(_WIDTH, _TOP + _IMAGE_HEIGHT + _BELOW, f"{name} by pair and position {start:,} to "
                                                              f"{start + positions - 1:,}. {picture.alt}")


def _ticks(places: int) -> list[int]:
    """Up to four places of an axis, evenly spread from the first to the last."""
    return sorted({round(i * (places - 1) / (_TICKS - 1)) for i in range(_TICKS)})
