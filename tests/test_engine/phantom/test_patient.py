import numpy as np
import pytest

from lens_engine.errors import ConfigError
from lens_engine.phantom.lesions import LesionType
from lens_engine.phantom.patient import (
    DATASETS,
    DEMO_SEEDS,
    LEAST_COVERAGE_MM,
    TEST_SEEDS,
    TRAIN_SEEDS,
    VAL_SEEDS,
    PhantomPatient,
    PhantomSettings,
    draw_body,
    draw_scans,
    make_patient,
)

COARSE = PhantomSettings(size=96, slice_spacing_mm=5.0, coverage_mm=260.0, studies=1)


def test_the_same_seed_gives_the_same_voxels_and_lesions(universal_patient: PhantomPatient, small_settings):
    again = make_patient(17, "universal", small_settings)
    for first, second in zip(universal_patient.series, again.series, strict=True):
        assert np.array_equal(first.volume.voxels, second.volume.voxels)
        assert first.volume.geometry == second.volume.geometry
        assert first.lesions == second.lesions


def test_another_seed_or_data_set_gives_another_patient(small_settings):
    bodies = [draw_body(17, "universal", small_settings), draw_body(18, "universal", small_settings)]
    bodies.append(draw_body(17, "lung", small_settings))
    assert len({body.anatomy.scale for body in bodies}) == 3


def test_boxes_are_tight_around_the_filled_voxels(universal_patient: PhantomPatient):
    for series in universal_patient.series:
        for number, lesion in enumerate(series.lesions, start=1):
            z, y, x = np.nonzero(series.instances == number)
            assert lesion.box == (x.min(), y.min(), z.min(), x.max() + 1, y.max() + 1, z.max() + 1)
            assert [part.slice_index for part in lesion.slices] == sorted(set(z.tolist()))
            for part in lesion.slices:
                own = z == part.slice_index
                assert part.box == (x[own].min(), y[own].min(), x[own].max() + 1, y[own].max() + 1)


def test_recist_marks_lie_on_the_largest_cross_section_inside_its_box(universal_patient: PhantomPatient):
    for series in universal_patient.series:
        for number, lesion in enumerate(series.lesions, start=1):
            areas = (series.instances == number).sum(axis=(1, 2))
            assert areas[lesion.key_slice] == areas.max()
            x1, y1, x2, y2 = next(part.box for part in lesion.slices if part.slice_index == lesion.key_slice)
            ends = np.asarray(lesion.recist).reshape(4, 2) + 0.5  # voxel edges
            assert (ends >= (x1 - 0.75, y1 - 0.75)).all()
            assert (ends <= (x2 + 0.75, y2 + 0.75)).all()


def test_the_same_lesion_has_the_same_key_and_type_in_every_study(universal_patient: PhantomPatient):
    first, second = universal_patient.series
    types = {lesion.key: lesion.lesion_type for lesion in first.lesions}
    shared = [lesion for lesion in second.lesions if lesion.key in types]
    assert shared
    assert all(types[lesion.key] == lesion.lesion_type for lesion in shared)
    assert first.study_date < second.study_date
    moved = {lesion.key: lesion.box for lesion in first.lesions}
    assert any(moved[lesion.key] != lesion.box for lesion in shared)


def test_a_lesion_can_be_seen_against_what_it_lies_in():
    contrasts = []
    for seed in range(6):
        series = make_patient(seed, "lung", COARSE).series[0]
        for number, lesion in enumerate(series.lesions, start=1):
            if lesion.lesion_type == "lung":
                inside = series.volume.voxels[series.instances == number].mean()
                contrasts.append(inside + 850)
    assert len(contrasts) >= 6
    assert min(contrasts) > 120


@pytest.mark.parametrize("dataset", DATASETS)
def test_number_size_and_labels_of_lesions_follow_the_data_set(dataset: str):
    for seed in (1, 2, 3):
        lesions = make_patient(seed, dataset, COARSE).series[0].lesions
        own = [lesion for lesion in lesions if lesion.lesion_type == dataset]
        if dataset == "universal":
            assert 2 <= len(lesions) <= 8
            assert any(lesion.is_labelled for lesion in lesions)
        else:
            assert 1 <= len(own) <= 6
            assert len(lesions) > len(own) or seed != 1
            assert all(lesion.is_labelled is (lesion.lesion_type == dataset) for lesion in lesions)
        assert all(5 <= lesion.diameter_mm <= 50 for lesion in lesions)
        assert {lesion.lesion_type for lesion in lesions} <= {kind.value for kind in LesionType}


def test_the_stated_share_of_a_universal_data_set_is_withheld():
    settings = PhantomSettings(studies=4, withheld_share=0.4)
    labelled, all_lesions = 0, 0
    for seed in range(40):
        body = draw_body(seed, "universal", settings)
        for scan in draw_scans(body, seed, "universal", settings):
            labelled += len(scan.labelled)
            all_lesions += len(body.lesions)
    assert 1 - labelled / all_lesions == pytest.approx(0.4, abs=0.03)


def test_the_body_lies_as_in_the_canonical_frame():
    settings = PhantomSettings(size=96, slice_spacing_mm=5.0, coverage_mm=470.0, studies=1)
    series = make_patient(4, "universal", settings).series[0]
    voxels = series.volume.voxels.astype(np.float32)
    levels = len(voxels)
    at_liver, at_heart = voxels[int(levels * 0.58)], voxels[int(levels * 0.36)]
    soft = (at_liver > 20) & (at_liver < 200)
    assert soft[:, 15:40].sum() > 1.3 * soft[:, 56:81].sum(), "the liver fills the patient's right"
    heart = at_heart[25:55] > -50
    assert heart[:, 49:70].sum() > heart[:, 27:48].sum(), "the heart bulges to the left"
    air = (voxels[:, 30:66, 24:72] < -700).mean(axis=(1, 2))
    assert air[: levels // 3].mean() > 5 * air[levels * 2 // 3 :].mean(), "the lungs are at low z"
    bone = voxels > 350
    assert bone[:, 48:].sum() > 2 * bone[:, :48].sum(), "the spine lies at high y"
    assert series.volume.geometry.index_to_mm(np.array([1.0, 0, 0]))[2] < series.volume.geometry.origin_mm[2]


def test_seed_ranges_share_no_seed():
    ranges = [TRAIN_SEEDS, VAL_SEEDS, DEMO_SEEDS, TEST_SEEDS]
    assert len({seed for seeds in ranges for seed in seeds}) == sum(len(seeds) for seeds in ranges)


@pytest.mark.parametrize("dataset", DATASETS)
def test_the_shortest_scan_that_is_allowed_has_room_for_lesions(dataset: str):
    shortest = PhantomSettings(coverage_mm=LEAST_COVERAGE_MM)
    assert any(draw_body(seed, dataset, shortest).lesions for seed in range(100))


def test_unknown_data_set_is_refused_by_name():
    with pytest.raises(ConfigError, match="'spleen'"):
        make_patient(1, "spleen")


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        ({"size": 8}, "8 pixels"),
        ({"field_of_view_mm": 20.0}, "20.0 mm"),
        ({"slice_spacing_mm": 0.0}, "every 0.0 mm"),
        ({"coverage_mm": 79.0}, "79.0 mm"),
        ({"studies": 0}, "0 studies"),
        ({"withheld_share": 1.0}, "1.0 withheld"),
    ],
)
def test_impossible_settings_are_refused_with_the_value(changed: dict, seen: str):
    with pytest.raises(ConfigError, match=seen):
        PhantomSettings(**changed)
