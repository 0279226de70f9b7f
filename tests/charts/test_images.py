"""Pictures made of pixels: many heads in one, and one large matrix."""

import io

import numpy as np
import pytest
from chart_inputs import attention
from PIL import Image

from gptoss.charts import head_grid, palette, tensor_picture


def heads(count, length, window=0):
    """Weights (heads, queries, 1 + keys), the sink first."""
    return np.stack([np.column_stack([sink, weights]) for weights, sink in (
        attention(length, window, seed) for seed in range(count))])


@pytest.mark.parametrize(("count", "length"), [(1, 1), (1, 7), (8, 16), (64, 64), (3, 512)])
def test_head_grid_is_one_image_within_its_width(count, length):
    picture = head_grid(heads(count, length), columns=8, selected=0)
    assert picture.image.dtype == np.uint8 and picture.image.shape[2] == 4
    assert picture.image.shape[1] <= 1024
    assert f"{count} heads over {length} tokens" in picture.alt
    assert ("mean of up to" in picture.alt) == (length * min(count, 8) > 900)


def test_head_grid_is_clear_where_nothing_is_attended_and_full_at_the_largest_weight():
    image = head_grid(np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]]), selected=0, width=8).image
    inside = image[1:-1, 1:-1]  # 2 of sink, 1 gap, 2 keys
    assert inside.shape == (2, 5, 4)
    np.testing.assert_array_equal(inside[:, 3:, 3], [[255, 0], [0, 255]])
    assert (inside[:, :3, 3] == 0).all()
    assert tuple(image[0, 0]) == (*palette.rgb(palette.ACCENT), 255)


def test_head_grid_takes_a_text_shown_to_be_the_sinks_mean():
    weights = heads(5, 6)
    most = weights[:, :, 0].mean(axis=1).argmax()
    assert f"Head {most} gives most to its sink, {weights[most, :, 0].mean():.1%}" in head_grid(weights).alt


def test_the_file_is_the_image():
    picture = head_grid(heads(4, 9), columns=2)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.webp())).convert("RGBA")), picture.image)


def test_both_signs_diverge_around_a_clear_zero():
    image = tensor_picture(np.array([[-1.0, 0.0, 2.0]]), width=3).image[0]
    assert tuple(image[0, :3]) == palette.rgb(palette.NEGATIVE) and image[0, 3] == 128
    assert image[1, 3] == 0
    assert tuple(image[2]) == (*palette.rgb(palette.POSITIVE), 255)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_sign_is_sequential(sign):
    image = tensor_picture(sign * np.array([[0.0, 1.0, 2.0]]), width=3).image[0]
    assert {tuple(pixel[:3]) for pixel in image} == {palette.rgb(palette.MOST)}
    assert list(image[:, 3]) == [0, 128, 255]


def test_large_matrices_are_averaged_in_blocks_and_say_so():
    matrix = np.arange(300 * 700, dtype=float).reshape(300, 700)
    picture = tensor_picture(matrix, max_rows=100, max_columns=100, width=100)
    assert picture.image.shape == (100, 100, 4)
    assert "mean of up to 3 × 7 values" in picture.alt and "300 rows and 700 columns" in picture.alt
    blocks = matrix.reshape(100, 3, 100, 7).mean(axis=(1, 3))
    np.testing.assert_array_equal(picture.image[..., 3], np.round(blocks * 255 / blocks.max()))


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (129, 257), (128, 256)])
def test_any_shape_fits(shape):
    picture = tensor_picture(np.random.default_rng(0).normal(size=shape))
    assert picture.image.shape[1] <= 1024 and picture.image.dtype == np.uint8


def test_small_matrices_grow_by_a_whole_factor():
    image = tensor_picture(np.array([[1.0, 2.0], [3.0, 4.0]]), width=7).image
    assert image.shape == (6, 6, 4)
    assert (image[:3, :3] == image[0, 0]).all() and image[3, 3, 3] == 255


def test_zeros_and_values_that_are_not_finite_are_clear():
    assert (tensor_picture(np.zeros((2, 2))).image[..., 3] == 0).all()
    picture = tensor_picture(np.array([[np.nan, 1.0, np.inf]]), width=3)
    assert list(picture.image[0, :, 3]) == [0, 255, 0]
    assert "2 values are not finite" in picture.alt


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2)])
def test_anything_but_a_matrix_is_refused(shape):
    with pytest.raises(ValueError, match="matrix"):
        tensor_picture(np.zeros(shape))
