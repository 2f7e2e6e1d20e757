import numpy as np
import pytest

from lens_engine.geometry import VolumeGeometry
from lens_engine.lesion_embedding.config import EmbeddingConfig, published_embedding
from lens_engine.lesion_embedding.embedding import PATCHES_AT_ONCE, embed_lesions
from lens_engine.lesion_embedding.patches import cut_patch
from lens_engine.volume import Volume

CONFIG = EmbeddingConfig(pixel_mm=1.0, grid_mm=2.0, patch_side=32)


def volume_of(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> Volume:
    voxels = np.random.default_rng(0).integers(-1200, 3200, shape).astype(np.int16)
    return Volume(voxels, VolumeGeometry(shape, spacing_mm))


def intensities(hu: np.ndarray) -> np.ndarray:
    return np.clip((hu + 1024.0) / (3071 + 1024), 0, 1) * 255 - 50


def test_where_nothing_is_resampled_a_patch_holds_the_voxels_at_minus_2_0_and_plus_2_mm():
    volume = volume_of((15, 90, 100), (1.0, 1.0, 1.0))
    patch = cut_patch(volume, CONFIG, 7, (40, 31, 51, 48))  # centre 45.5, 39.5
    expected = intensities(volume.voxels[[5, 7, 9], 40 - 16 : 40 + 16, 46 - 16 : 46 + 16].astype(float))
    np.testing.assert_allclose(patch.pixels, expected, atol=1e-3)
    assert patch.box.tolist() == [10, 7, 21, 24]


def test_slices_between_those_of_the_series_are_interpolated_around_that_of_the_lesion():
    volume = volume_of((9, 64, 64), (5.0, 1.0, 1.0))
    patch = cut_patch(volume, CONFIG, 4, (28, 28, 36, 36))
    shown = intensities(volume.voxels[3:6, 16:48, 16:48].astype(float))
    np.testing.assert_allclose(patch.pixels[1], shown[1], atol=1e-3)
    np.testing.assert_allclose(patch.pixels[0], 0.6 * shown[1] + 0.4 * shown[0], atol=1e-3)
    np.testing.assert_allclose(patch.pixels[2], 0.6 * shown[1] + 0.4 * shown[2], atol=1e-3)


def test_a_fraction_of_a_slice_lies_between_two():
    volume = volume_of((9, 64, 64), (4.0, 1.0, 1.0))
    patch = cut_patch(volume, CONFIG, 3.5, (28, 28, 36, 36))
    shown = intensities(volume.voxels[3:5, 16:48, 16:48].astype(float))
    np.testing.assert_allclose(patch.pixels[[0, 2]], shown, atol=1e-3)
    np.testing.assert_allclose(patch.pixels[1], shown.mean(axis=0), atol=1e-3)


def test_pixels_are_one_millimetre_wide_whatever_the_voxels_are():
    volume = volume_of((7, 200, 180), (2.0, 0.5, 0.5))
    volume.voxels[:, 80:100, 60:100] = 3071
    patch = cut_patch(volume, CONFIG, 3, (60, 80, 100, 100))
    assert patch.box.tolist() == [6, 11, 26, 21]
    assert patch.pixels[:, 12:20, 7:25].min() == pytest.approx(205, abs=1e-3)


def test_beyond_the_image_and_its_ends_the_outermost_pixels_repeat():
    volume = volume_of((4, 60, 70), (2.0, 1.0, 1.0))
    patch = cut_patch(volume, CONFIG, 0, (0, 0, 8, 10))
    assert patch.box.tolist() == [12, 11, 20, 21]
    np.testing.assert_array_equal(patch.pixels[0], patch.pixels[1])
    np.testing.assert_array_equal(patch.pixels[:, :11], np.broadcast_to(patch.pixels[:, 11:12], (3, 11, 32)))
    np.testing.assert_array_equal(patch.pixels[:, :, :12], np.broadcast_to(patch.pixels[:, :, 12:13], (3, 32, 12)))
    far = cut_patch(volume, CONFIG, 3, (66, 55, 70, 60))
    np.testing.assert_array_equal(far.pixels[2], far.pixels[1])
    np.testing.assert_array_equal(far.pixels[:, :, -1], far.pixels[:, :, -8])


def test_a_box_larger_than_the_patch_ends_beyond_it_and_never_begins_before_it():
    patch = cut_patch(volume_of((4, 90, 90), (2.0, 1.0, 1.0)), CONFIG, 1, (5, 10, 75, 30))
    assert patch.box.tolist() == [0, 6, 51, 26]


def test_the_published_patch_is_120_pixels_of_one_millimetre():
    patch = cut_patch(volume_of((3, 160, 160), (5.0, 0.8, 0.8)), published_embedding(), 1, (70, 70, 90, 90))
    assert patch.pixels.shape == (3, 120, 120)
    assert (patch.box[2:] - patch.box[:2]).tolist() == [16, 16]


def test_embedding_many_boxes_equals_embedding_each(tiny_network):
    volume = volume_of((10, 60, 60), (4.0, 2.0, 2.0))
    places = [(float(i % 10), (10.0 + i % 20, 20.0, 22.0 + i % 20, 33.0)) for i in range(PATCHES_AT_ONCE + 3)]
    found = embed_lesions(tiny_network, volume, places)
    assert found.shape == (len(places), 7)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    for row in (0, PATCHES_AT_ONCE, len(places) - 1):
        np.testing.assert_allclose(embed_lesions(tiny_network, volume, places[row : row + 1])[0], found[row], atol=1e-5)
    assert embed_lesions(tiny_network, volume, []).shape == (0, 7)
