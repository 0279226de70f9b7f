"""Pictures made of pixels: many small heat maps, or one large tensor, as a single image."""

from __future__ import annotations

import math
import struct
import zlib
from typing import NamedTuple

import numpy as np

from gptoss.charts import palette
from gptoss.units import number, percent

_GAP = 3  # clear cells between two heads
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    """An image, uint8 (height, width, 4) as red, green, blue and alpha, and the text that stands in for it.

    Zero is clear, so that the page's own background, light or dark, shows through.
    """

    image: np.ndarray
    alt: str

    def png(self) -> bytes:
        """The image as a PNG file, compressed for speed rather than for size (PNG specification, ISO 15948)."""
        height, width, _ = self.image.shape
        rows = np.zeros((height, 1 + 4 * width), np.uint8)  # each row starts with its filter, 0 for none
        rows[:, 1:] = self.image.reshape(height, -1)
        header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
        return _PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + _chunk(
            b"IEND", b"")


def head_grid(weights: np.ndarray, columns: int = 8, selected: int | None = None, width: int = 1024,
              enlarge: bool = True) -> Picture:
    """All heads of a layer as small heat maps in one image, `columns` of them side by side.

    `weights` (heads, queries, 1 + keys) holds the sink first, then the keys; each row sums to 1. The sink's column
    has its own colour and stands apart; the selected head is framed. Cells grow by a whole factor, as far as
    `width` px allow, unless the page is to `enlarge` them itself; where they do not fit at all, the weights of
    neighbouring keys are averaged in blocks, which the text says.
    """
    heads, queries, _ = weights.shape
    columns = min(columns, heads)
    block = max(1, math.ceil(queries * columns / (width - columns * 4 * _GAP)))
    small = [_block_mean(head, block, block) for head in (weights[:, :, 1:], weights[:, :, :1])]
    tiles = _head_tiles(np.sqrt(small[0]), np.sqrt(small[1]))
    image = _arrange(tiles, columns, selected)
    image = _enlarge(image, max(1, width // image.shape[1]) if enlarge else 1)
    sinks = weights[:, :, 0].mean(axis=1)
    most = int(sinks.argmax())
    alt = (f"Attention weights of {heads} heads over {queries} tokens, opacity as the square root of the weight. "
           f"Head {most} gives most to its sink, {percent(sinks[most])} on average; over all heads it is "
           f"{percent(sinks.mean())}.{_blocks_in_words(block, block)}"
           + (f" Head {selected} is framed." if selected is not None else ""))
    return Picture(image, alt)


def tensor_picture(matrix: np.ndarray, max_rows: int = 128, max_columns: int = 256, width: int = 1024,
                   enlarge: bool = True) -> Picture:
    """Heat map of one matrix (rows, columns): clear is zero, full colour the largest magnitude shown.

    With both signs the scale is diverging and centred on zero, blue below and orange above, otherwise sequential.
    A larger matrix is averaged in blocks, which the text says; a smaller one is enlarged by a whole factor,
    unless the page is to `enlarge` it itself.
    Values that are not finite are left out. Raises `ValueError` for anything but a matrix with values.
    """
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"a picture takes a matrix (rows, columns) with values, not shape {matrix.shape}")
    values = matrix.astype(np.float32)
    finite = np.isfinite(values)
    known = values[finite] if not finite.all() else values
    values = np.where(finite, values, 0)
    down, across = math.ceil(matrix.shape[0] / max_rows), math.ceil(matrix.shape[1] / max_columns)
    small = _block_mean(values[None], down, across)[0]
    image = _enlarge(_colour(small), max(1, width // small.shape[1]) if enlarge else 1)
    alt = f"Heat map of a matrix of {matrix.shape[0]} rows and {matrix.shape[1]} columns"
    if known.size:
        alt += f", values {number(known.min())} to {number(known.max())}, mean {number(known.mean())}"
    if known.size < matrix.size:
        alt += f"; {matrix.size - known.size} values are not finite"
    return Picture(image, alt + "." + _blocks_in_words(down, across))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _block_mean(stack: np.ndarray, down: int, across: int) -> np.ndarray:
    """Means over blocks of `down` rows and `across` columns of (count, rows, columns); the last may be smaller."""
    across = min(across, stack.shape[2])
    for axis, size in ((1, down), (2, across)):
        if size > 1:
            starts = np.arange(0, stack.shape[axis], size)
            counts = np.diff(np.append(starts, stack.shape[axis]))
            shape = [1, 1, 1]
            shape[axis] = len(counts)
            stack = np.add.reduceat(stack, starts, axis=axis) / counts.reshape(shape)
    return stack


def _blocks_in_words(down: int, across: int) -> str:
    return "" if down == across == 1 else f" One cell is the mean of up to {down} × {across} values."


def _colour(values: np.ndarray) -> np.ndarray:
    """RGBA of values whose zero is clear and whose largest magnitude is opaque."""
    low, high = float(values.min()), float(values.max())
    largest = max(-low, high)
    alpha = np.abs(values) * (255 / largest) if largest > 0 else np.zeros_like(values)
    if low < 0 < high:
        below, above = palette.rgb(palette.NEGATIVE), palette.rgb(palette.POSITIVE)
    else:
        below = above = palette.rgb(palette.MAGNITUDE)
    image = np.empty((*values.shape, 4), np.uint8)
    image[..., :3] = np.where((values < 0)[..., None], np.array(below, np.uint8), np.array(above, np.uint8))
    image[..., 3] = np.round(alpha)
    return image


def _head_tiles(keys: np.ndarray, sink: np.ndarray) -> np.ndarray:
    """RGBA (heads, queries, columns, 4) of the square roots of weights: the sink twice as wide, a gap, the keys."""
    heads, queries, width = keys.shape
    largest = max(float(keys.max()), float(sink.max()), 1e-12)
    sink_width = max(2, width // 24)
    tiles = np.zeros((heads, queries, sink_width + 1 + width, 4), np.uint8)
    tiles[:, :, :sink_width, :3] = palette.rgb(palette.SINK)
    tiles[:, :, sink_width + 1:, :3] = palette.rgb(palette.MAGNITUDE)
    tiles[:, :, :sink_width, 3] = np.round(sink * (255 / largest))
    tiles[:, :, sink_width + 1:, 3] = np.round(keys * (255 / largest))
    return tiles


def _arrange(tiles: np.ndarray, columns: int, selected: int | None) -> np.ndarray:
    """The tiles row by row in one image, each in a faint frame, the selected one in the accent colour."""
    heads, height, width, _ = tiles.shape
    rows = math.ceil(heads / columns)
    framed = np.zeros((rows * columns, height + 2 + _GAP, width + 2 + _GAP, 4), np.uint8)
    inside = framed[:heads, :height + 2, :width + 2]
    inside[:] = (*palette.rgb(palette.MUTED), 60)
    if selected is not None:
        inside[selected] = (*palette.rgb(palette.ACCENT), 255)
    inside[:, 1:-1, 1:-1] = tiles
    grid = framed.reshape(rows, columns, *framed.shape[1:]).swapaxes(1, 2)
    return grid.reshape(rows * framed.shape[1], columns * framed.shape[2], 4)[:-_GAP, :-_GAP]


def _enlarge(image: np.ndarray, factor: int) -> np.ndarray:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
