"""Heat maps of whole tensors."""

import numpy as np
import pytest

from gptoss.charts import palette, tensor_picture


def test_both_signs_diverge_around_a_clear_zero():
    image = tensor_picture(np.array([[-1.0, 0.0, 2.0]]), width=3).image[0]
    assert tuple(image[0, :3]) == palette.rgb(palette.NEGATIVE) and image[0, 3] == 128
    assert image[1, 3] == 0
    assert tuple(image[2]) == (*palette.rgb(palette.POSITIVE), 255)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_sign_is_sequential(sign):
    image = tensor_picture(sign * np.array([[0.0, 1.0, 2.0]]), width=3).image[0]
    assert {tuple(pixel[:3]) for pixel in image} == {palette.rgb(palette.MAGNITUDE)}
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
