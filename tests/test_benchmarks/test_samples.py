from pathlib import Path

import pytest
import torch

from benchmarks.samples import Scan, both_ways, growth_of, places, samples, scans
from lens_training.detector.planes import ReadPlanes


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Scan]:
    return scans(tmp_path_factory.mktemp("written"), side=40, counts=(5, 6, 20, 21, 22))


@pytest.mark.parametrize("number", range(6))
def test_both_ways_make_the_same_samples(written: list[Scan], number: int, tmp_path: Path):
    whole, single = both_ways(written[number].case, tmp_path)
    assert isinstance(single, ReadPlanes)
    grids = places(single, 3)
    for one, other in zip(samples(whole, grids), samples(single, grids), strict=True):
        assert torch.equal(one, other)


def test_the_goal_is_that_of_scans_which_are_longer_than_a_sample(written: list[Scan]):
    assert [each.goal for each in written] == [0, 0, 5, 5, 5, 5]


def test_the_growth_is_measured_from_files_of_both_lengths(tmp_path: Path):
    found = growth_of(tmp_path, "raw.mhd", side=16)
    assert (found.smaller, found.larger) == ("100 slices", "600 slices")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["100", "600", "kept"]
