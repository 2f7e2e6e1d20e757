import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.training.fpr_findings import RECIPE

from lens_engine.detector.false_positive_reduction.patches import Patch
from lens_training.false_positive_reduction.augmentation import varied

FLIPS = RECIPE.model_copy(update={"flips": True})
SHIFTS = RECIPE.model_copy(update={"shift": 3})
BOTH = RECIPE.model_copy(update={"flips": True, "shift": 3})


def marked_patch() -> Patch:
    """Make a patch, different along every axis, whose bright voxel fills its box."""
    voxels = np.random.default_rng(0).random((4, 10, 12)).astype(np.float16)
    voxels[1, 4, 7] = 9
    return Patch(voxels, np.array([7, 4, 1, 8, 5, 2], dtype=np.float32))


@given(st.integers(0, 1000))
def test_the_box_follows_its_voxels(seed: int):
    patch = varied(marked_patch(), BOTH, np.random.default_rng(seed))
    x, y, z, *_ = patch.box.astype(int).tolist()
    assert patch.voxels[z, y, x] == 9
    assert (patch.box[3:] - patch.box[:3]).tolist() == [1, 1, 1]
    assert patch.voxels.shape == (4, 10, 12)


def test_flips_reach_every_corner_and_keep_all_voxels():
    patches = [varied(marked_patch(), FLIPS, np.random.default_rng(seed)) for seed in range(60)]
    assert len({tuple(patch.box.tolist()) for patch in patches}) == 8
    expected = np.sort(marked_patch().voxels, axis=None)
    assert all(np.array_equal(np.sort(patch.voxels, axis=None), expected) for patch in patches)


def test_a_move_stays_in_the_plane_and_repeats_the_border():
    patches = [varied(marked_patch(), SHIFTS, np.random.default_rng(seed)) for seed in range(200)]
    boxes = np.array([patch.box for patch in patches])
    assert sorted(set(boxes[:, 0])) == [4, 5, 6, 7, 8, 9, 10]
    assert set(boxes[:, 2]) == {1}
    right = next(patch for patch in patches if patch.box[0] == 10)
    np.testing.assert_array_equal(right.voxels[:, :, 0], right.voxels[:, :, 3])


def test_a_box_that_leaves_the_patch_is_cut():
    patch = Patch(marked_patch().voxels, np.array([0, 0, 0, 12, 10, 4], dtype=np.float32))
    for seed in range(20):
        box = varied(patch, BOTH, np.random.default_rng(seed)).box
        assert (box >= 0).all()
        assert (box <= [12, 10, 4, 12, 10, 4]).all()


def test_the_published_recipe_varies_nothing():
    patch = marked_patch()
    same = varied(patch, RECIPE, np.random.default_rng(0))
    np.testing.assert_array_equal(same.voxels, patch.voxels)
    np.testing.assert_array_equal(same.box, patch.box)
