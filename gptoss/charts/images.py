"""Pictures made of pixels: many small heat maps, or one large tensor, as a single image."""

from __future__ import annotations

import base64
import io
import math
from concurrent.futures import ThreadPoolExecutor
from html import escape
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.WebPImagePlugin import WebPImageFile

from gptoss.charts import palette
from gptoss.units import number, percent

_GAP = 3  # clear cells between two heads

# Pictures are encoded in one thread: every session's own would keep the encoder's buffers, 50 to 90 MB with 20 of them.
_ENCODER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")


class Picture(NamedTuple):
    """An image, uint8 (height, width, 4) as red, green, blue and alpha, and its alternative text.

    Zero is clear, so that the page's own background, light or dark, shows through. The colours are the palette's for the
    light theme; a file for the `dark` one has their twins.
    """

    image: np.ndarray
    alt: str

    def webp(self, dark: bool = False) -> bytes:
        """The image as a WebP file without any loss: a PNG file takes Pillow 2 to 6 times as long, and is larger."""
        return _ENCODER.submit(_encode, in_dark(self.image) if dark else self.image).result()

    def address(self, dark: bool = False) -> str:
        """The image as an address that holds all of it, for a mark or an HTML element."""
        return f"data:image/webp;base64,{base64.b64encode(self.webp(dark)).decode()}"


def in_dark(image: np.ndarray) -> np.ndarray:
    """The same image, uint8 (height, width, 4), in the dark theme's colours; opacities stay."""
    words = np.ascontiguousarray(image).view("<u4")[..., 0]
    colours, opacity = words & 0xFFFFFF, words & 0xFF000000
    swapped = colours.copy()
    for light, dark in palette.DARK.items():
        swapped[colours == _word(light)] = _word(dark)
    return (swapped | opacity)[..., None].view(np.uint8)


def _word(colour: str) -> int:
    """A colour as it lies in memory, its opacity left out."""
    return int.from_bytes(bytes(palette.rgb(colour)), "little")

    def _repr_html_(self) -> str:
        """For notebooks: the picture with its words."""
        return (f'<figure style="margin: 0; max-width: 720px"><img src="{self.address()}" alt="{escape(self.alt)}" '
                'style="width: 100%; image-rendering: pixelated"><figcaption style="font-size: 0.9em">'
                f"{escape(self.alt)}</figcaption></figure>")


def _encode(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, WebPImageFile.format, lossless=True, exact=True, quality=0, method=0)
    return file.getvalue()


def head_grid(weights: np.ndarray, columns: int = 8, selected: int | None = None, width: int = 1024,
              enlarge: bool = True) -> Picture:
    """All heads of a layer as small heat maps in one image, `columns` of them side by side.

    `weights` (heads, queries, 1 + keys) holds the sink first, then the keys; each row sums to 1. The sink's column
    has its own colour and is apart; the selected head is framed. Cells grow by a whole factor, as far as
    `width` px allow, unless the page is to `enlarge` them itself; where they do not fit at all, the weights of
    neighbouring keys are averaged in blocks, which the text says.
    """
    heads, queries, _ = weights.shape
    columns = min(columns, heads)
    block = max(1, math.ceil(queries * columns / (width - columns * 4 * _GAP)))
    small = [_block_mean(head, block, block) for head in (weights[:, :, 1:], weights[:, :, :1])]
    image = _arrange(_head_tiles(*small), columns, selected)
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
    image = _enlarge(_matrix_pixels(small), max(1, width // small.shape[1]) if enlarge else 1)
    alt = f"Heat map of a matrix of {matrix.shape[0]} rows and {matrix.shape[1]} columns"
    if known.size:
        alt += f", values {number(known.min())} to {number(known.max())}, mean {number(known.mean())}"
    if known.size < matrix.size:
        alt += f"; {matrix.size - known.size} values are not finite"
    return Picture(image, alt + "." + _blocks_in_words(down, across))


def share_pixels(shares: np.ndarray, full: float = 1.0, faintest: int = 0, colour: str = palette.MOST) -> np.ndarray:
    """RGBA (..., 4) of shares (...): opacity is their square root, `faintest` of 255 for none, 255 for `full` or more."""
    opacity = np.sqrt(shares / full).clip(0, 1) * (255 - faintest) + faintest
    return _pixels(np.array(palette.rgb(colour)), opacity)


def signed_pixels(values: np.ndarray, largest: float) -> np.ndarray:
    """RGBA (..., 4) of numbers (...): blue below zero, orange above, clear at zero and opaque from `largest` on."""
    colours = np.where((values < 0)[..., None], palette.rgb(palette.NEGATIVE), palette.rgb(palette.POSITIVE))
    return _pixels(colours, (np.abs(values) * (255 / (largest or 1))).clip(0, 255))


def _pixels(colours: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    image = np.empty((*opacity.shape, 4), np.uint8)
    image[..., :3] = colours
    image[..., 3] = np.round(opacity)
    return image


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


def _matrix_pixels(values: np.ndarray) -> np.ndarray:
    """RGBA of values, clear at zero and opaque at the largest magnitude; two colours where they have both signs."""
    low, high = float(values.min()), float(values.max())
    if low < 0 < high:
        return signed_pixels(values, max(-low, high))
    return _pixels(np.array(palette.rgb(palette.MOST)), np.abs(values) * (255 / (max(-low, high) or 1)))


def _head_tiles(keys: np.ndarray, sink: np.ndarray) -> np.ndarray:
    """RGBA (heads, queries, columns, 4) of weights: the sink, (heads, queries, 1), twice as wide, a gap, the keys."""
    heads, queries, width = keys.shape
    full = max(float(keys.max()), float(sink.max()), 1e-12)
    sink_width = max(2, width // 24)
    tiles = np.zeros((heads, queries, sink_width + 1 + width, 4), np.uint8)
    tiles[:, :, :sink_width] = share_pixels(sink, full, colour=palette.SINK)
    tiles[:, :, sink_width + 1:] = share_pixels(keys, full)
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
