import numpy as np
import pytest

from benchmarks.reading import Case, cases, peak_growth, synthetic_ct
from lens_engine.volume import Volume

SHAPE = (3, 40, 32)
FORMATS = [".nii.gz", ".nii", ".mhd + .raw", ".nrrd", ".nrrd, gzip", "DICOM", "DeepLesion PNG"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    return cases(tmp_path_factory.mktemp("written"), synthetic_ct(SHAPE))


def test_every_format_is_written(written):
    assert [case.name for case in written] == FORMATS


@pytest.mark.parametrize("index", range(len(FORMATS)))
def test_baselines_and_our_way_read_the_same_scan(index, written):
    case, voxels = written[index], synthetic_ct(SHAPE)
    ours = case.ours()
    assert isinstance(ours, Volume)
    np.testing.assert_array_equal(ours.voxels, voxels)
    for _, baseline in case.baselines:
        values = np.asarray(baseline()).astype(np.int32)
        assert sorted(values.shape) == sorted(SHAPE)
        offset = 32768 if case.name == "DeepLesion PNG" else 0
        np.testing.assert_array_equal(np.sort(values, axis=None) - offset, np.sort(voxels, axis=None))


def test_the_synthetic_scan_looks_like_a_ct():
    voxels = synthetic_ct((9, 64, 64))
    assert voxels.min() >= -1024
    assert voxels[0, 32, 32 - 13] < -600
    assert -200 < voxels[0, 32, 32] < 300
    assert not np.array_equal(voxels[0], voxels[1])


def _take_50_mb() -> int:
    return int(np.ones(50_000_000, dtype=np.uint8).sum())


def test_memory_is_that_of_the_call_in_a_fresh_process():
    assert 45e6 < peak_growth(_take_50_mb) < 100e6
