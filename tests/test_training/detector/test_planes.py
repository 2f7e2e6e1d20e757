from dataclasses import replace

import numpy as np
import pytest
from support.training.training_scenes import BALLS, DEPTH, SIDE, TINY, Ball, case_of, lesion_of, volume_with

from lens_engine.detector.preprocess import Augmentation, Crop, make_grid
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.detector.planes import PlaneCache, cropped_planes, planes_of
from lens_training.recipes.recipe import MOST_SHIFT_VOXELS

BALL = BALLS["a"]


def counted_cases(count: int) -> tuple[list[Case], list[int]]:
    """Return cases with a list that grows by a case's number whenever it is loaded."""
    loads: list[int] = []

    def case(number: int) -> Case:
        def load() -> Volume:
            loads.append(number)
            return volume_with(BALL, seed=number)

        return replace(case_of("lung", lesion_of(BALL)), name=str(number), load=load)

    return [case(number) for number in range(count)], loads


def in_air(ball: Ball) -> Volume:
    """Return a volume in which nothing but a ball is body."""
    volume = volume_with(ball)
    return replace(volume, voxels=np.where(volume.voxels > 250, volume.voxels, -1000).astype(np.int16))


def test_the_cache_keeps_what_comes_first_and_loads_the_rest_again():
    cases, loads = counted_cases(3)
    kept = DEPTH * SIDE * SIDE * 2  # the body fills the slices: no less is needed
    cache = PlaneCache(cases, limit_bytes=2 * kept)
    for number in (0, 1, 2, 0, 1, 2):
        assert cache.has_room_for(number) is (number < 2 or len(loads) < 2)
        cache.planes(number)
    assert loads == [0, 1, 2, 2]


def test_the_cache_keeps_the_body_and_the_voxels_to_which_its_crop_may_move():
    planes = cropped_planes(planes_of(in_air(Ball(48, 40, 5, 12))))
    body = planes.body
    assert 0 < body.top - MOST_SHIFT_VOXELS < body.bottom < SIDE
    assert planes.corner == (body.top - MOST_SHIFT_VOXELS, body.left - MOST_SHIFT_VOXELS)
    assert planes.voxels.shape == (DEPTH, body.bottom - planes.corner[0], body.right - planes.corner[1])
    assert planes.voxels.base is None, "the kept part holds the whole volume in memory"


@pytest.mark.parametrize("shift", [(0, 0), (2, 3), (-MOST_SHIFT_VOXELS, -MOST_SHIFT_VOXELS)])
@pytest.mark.parametrize("ball", [Ball(48, 40, 5, 12), Ball(8, 10, 6, 14)])
def test_a_sample_is_the_same_whether_its_case_is_kept_or_not(ball: Ball, shift: tuple[int, int]):
    cases = [replace(case_of("lung"), load=lambda: in_air(ball))]
    kept, loaded = (PlaneCache(cases, limit).planes(0) for limit in (2**28, 0))
    assert kept.voxels.size < loaded.voxels.size
    for depth_mm in (0.0, 8.0, 13.3, 44.0):
        grid = make_grid(loaded.geometry, loaded.body, TINY, Augmentation(1.1, shift, depth_mm))
        index = grid.nearest_grid_index(depth_mm / 4)
        for view in (grid, grid.window(3, -2, 6, 9)):
            np.testing.assert_array_equal(kept.image(view, index, TINY), loaded.image(view, index, TINY))


def test_the_body_of_a_case_without_room_is_looked_for_once():
    cases, _ = counted_cases(1)
    cache = PlaneCache(cases, limit_bytes=0)
    body = cache.planes(0).body
    assert cache.planes(0).body is body
    assert body == Crop(0, 0, SIDE, SIDE)
