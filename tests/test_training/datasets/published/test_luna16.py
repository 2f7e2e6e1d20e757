import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.files.published_data import (
    FEET_FIRST,
    SIDE_MM,
    nodule_row,
    save_metaimage,
    scene,
    write_luna16,
    write_table,
)

from lens_engine.errors import AnnotationFileError
from lens_engine.evaluation.luna16 import UNKNOWN_DIAMETER_MM
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_training.datasets.published.catalogue import DatasetName, Effect, Oddity, Reading, ReadingOptions
from lens_training.datasets.published.luna16 import PUBLISHED, excluded, nodules, read
from lens_training.datasets.published.spheres import POLE_SHARE, half_side_mm, sphere_lesion
from lens_training.errors import DatasetError

UID = "1.2.840.1"


def only_oddity(reading: Reading, oddity: Oddity) -> str:
    (item,) = reading.odd
    assert (item.oddity, item.effect) == (oddity, Effect.SKIPPED)
    return f"{item.place}: {item.detail}"


@pytest.fixture
def folder(tmp_path):
    write_luna16(tmp_path, scene())
    return tmp_path


def test_a_nodule_has_its_diameter_and_a_tight_box(folder):
    reading = read(folder)
    (case,) = reading.cases
    assert (case.name, case.patient, DatasetName(case.dataset).scope) == (UID, UID, Scope.SINGLE_TYPE)
    assert (case.facts[0].lesion_type, case.facts[0].diameter_mm) == ("lung", SIDE_MM)
    assert case.lesions[0].is_tight
    assert dict(reading.counts) == {
        "subsets": 1, "scans": 1, "nodules in the table": 1, "usable nodules": 1, "scans without a nodule": 0,
        "slices": 14,
    }  # fmt: skip
    assert set(PUBLISHED) <= set(reading.counts)


def test_the_margin_can_be_chosen(folder):
    (padded,), (tight,) = read(folder).cases, read(folder, ReadingOptions(tight_margin_voxels=0)).cases
    np.testing.assert_allclose(padded.truth - tight.truth, [[-5, -5, 0, 5, 5, 0]])
    grown = padded.labels.on_slice(5).lesions - tight.labels.on_slice(5).lesions
    np.testing.assert_allclose(grown, [[-5, -5, 5, 5]])


def test_a_scan_without_a_nodule_is_a_case(folder):
    save_metaimage(folder / "subset4" / "1.2.840.2.mhd", scene(), *FEET_FIRST)
    assert [len(case.lesions) for case in read(folder).cases] == [1, 0]


def test_lung_masks_of_the_same_name_are_no_scans(folder):
    save_metaimage(folder / "seg-lungs-LUNA16" / f"{UID}.mhd", scene(), *FEET_FIRST)
    reading = read(folder)
    assert (len(reading.cases), reading.odd) == (1, ())


def test_a_subset_unpacked_into_a_folder_of_its_name_is_found_once(folder):
    (folder / "subset3").rename(folder / "moved")
    (folder / "subset3").mkdir()
    (folder / "moved").rename(folder / "subset3" / "subset3")
    reading = read(folder)
    assert (len(reading.cases), reading.odd) == (1, ())


def test_scans_without_subsets_are_found(folder):
    for path in (folder / "subset3").iterdir():
        path.rename(folder / path.name)
    (folder / "subset3").rmdir()
    assert len(read(folder).cases) == 1
    with pytest.raises(DatasetError, match="lies in no folder subset0 to subset9"):
        read(folder, ReadingOptions(test_fold=3))


@pytest.mark.parametrize(("fold", "split"), [(3, Split.TEST), (4, Split.TRAIN)])
def test_a_fold_tests_on_its_subset(fold, split, folder):
    assert read(folder, ReadingOptions(test_fold=fold)).cases[0].split is split


def test_the_same_scan_in_two_subsets_is_read_once(folder):
    save_metaimage(folder / "subset5" / f"{UID}.mhd", scene(), *FEET_FIRST)
    reading = read(folder)
    assert only_oddity(reading, Oddity.DUPLICATE) == f"subset5/{UID}.mhd: subset3 has it, too"
    assert len(reading.cases) == 1


@pytest.mark.parametrize(
    ("changes", "oddity", "message"),
    [
        ({"coordX": 500.0}, Oddity.OUTSIDE, "annotations.csv line 3: centre (500.0, "),
        ({"coordZ": -400.0}, Oddity.OUTSIDE, f"lies outside {UID}.mhd"),
        ({"diameter_mm": -1.0}, Oddity.BROKEN_ROW, "diameter -1.0 mm"),
        ({"diameter_mm": "nan"}, Oddity.BROKEN_ROW, "diameter nan mm"),
        ({"coordY": "left"}, Oddity.BROKEN_ROW, "annotations.csv line 3: could not convert"),
        ({"seriesuid": "1.2.840.9"}, Oddity.MISSING_SCAN, "annotations.csv line 3: 1.2.840.9.mhd is not there"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_are_read(changes, oddity, message, folder):
    good = nodule_row(UID, scene())
    write_table(folder / "annotations.csv", [good, good | {name: str(value) for name, value in changes.items()}])
    reading = read(folder)
    assert message in only_oddity(reading, oddity)
    assert reading.counts["usable nodules"] == 1


def test_decimal_commas_make_a_row_odd_and_never_another_nodule(folder):
    with (folder / "annotations.csv").open("a") as file:
        file.write(f"{UID},-1,5,-20,5,3,5,8,0\n")
    what = "annotations.csv line 3: it has 9 cells instead of 5"
    assert only_oddity(read(folder), Oddity.BROKEN_ROW) == what


def test_a_scan_whose_voxels_are_missing_is_named_and_its_nodules_are_counted(folder):
    save_metaimage(folder / "subset4" / "1.2.840.2.mhd", scene(), *FEET_FIRST)
    (folder / "subset3" / f"{UID}.raw").unlink()
    reading = read(folder)
    assert f"subset3/{UID}.mhd: {UID}.mhd cannot be read" in only_oddity(reading, Oddity.BROKEN_FILE)
    assert reading.skipped["lesion of a scan that cannot be read"] == 1
    assert [case.name for case in reading.cases] == ["1.2.840.2"]


def test_excluded_findings_are_exposed_with_the_diameter_the_kit_takes(folder):
    rows = [nodule_row(UID, scene()), nodule_row(UID, scene(), diameter_mm=-1.0)]
    write_table(folder / "annotations_excluded.csv", rows)
    assert [mark.diameter_mm for mark in excluded(folder)] == [SIDE_MM, UNKNOWN_DIAMETER_MM]
    assert excluded(folder)[0].centre_mm == nodules(folder)[0].centre_mm


def test_without_a_table_of_excluded_findings_there_are_none(folder):
    assert excluded(folder) == ()


def test_missing_columns_are_named(folder):
    row = nodule_row(UID, scene())
    del row["diameter_mm"]
    write_table(folder / "annotations.csv", [row])
    with pytest.raises(AnnotationFileError, match="missing are diameter_mm"):
        read(folder)


@pytest.mark.parametrize("missing", ["annotations.csv", "subset3"])
def test_a_folder_without_table_or_scans_is_told_what_is_expected(missing, folder):
    (folder / missing).rename(folder / "elsewhere")
    with pytest.raises(DatasetError, match=r"There is no LUNA16 .* subset0 to subset9"):
        read(folder)


spacings = st.floats(0.4, 5.0)
places = st.floats(0.05, 0.95)


@given(st.tuples(spacings, spacings, spacings), st.tuples(places, places, places), st.floats(3, 40))
def test_every_square_of_a_sphere_lies_in_its_cube_and_near_its_centre(spacing_mm, place, diameter_mm):
    geometry = VolumeGeometry((60, 200, 220), spacing_mm)
    centre_zyx = np.asarray(place) * geometry.shape - 0.5
    lesion = sphere_lesion("scan", geometry.index_to_mm(centre_zyx), diameter_mm, geometry)
    assert lesion is not None
    x1, y1, z1, x2, y2, z2 = lesion.box
    indices = [index for index, *_ in lesion.slices]
    distances_mm = [abs(index - centre_zyx[0]) * spacing_mm[0] for index in range(60)]
    near = [index for index, distance_mm in enumerate(distances_mm) if distance_mm <= POLE_SHARE * diameter_mm / 2]
    if near:
        assert indices == near
    else:
        assert indices == [int(np.argmin(distances_mm))] or np.ptp(sorted(distances_mm)[:2]) < 1e-9
    for _, left, top, right, bottom in lesion.slices:
        assert x1 - 1e-6 <= left < right <= x2 + 1e-6
        assert y1 - 1e-6 <= top < bottom <= y2 + 1e-6
    assert z1 < z2


@given(st.floats(1, 40), st.floats(0, POLE_SHARE))
def test_the_side_of_a_square_follows_from_pythagoras(radius_mm, share):
    half = half_side_mm(radius_mm, share * radius_mm)
    assert half**2 + (share * radius_mm) ** 2 == pytest.approx(radius_mm**2)
    assert half >= radius_mm * (1 - POLE_SHARE**2) ** 0.5 - 1e-9


@pytest.mark.parametrize("outside_mm", [(-1, 5, 5), (5, -1, 5), (5, 5, 200)])
def test_a_sphere_with_its_centre_outside_has_no_box(outside_mm):
    assert sphere_lesion("scan", np.asarray(outside_mm), 6.0, VolumeGeometry((10, 20, 30), (2.0, 1.0, 1.0))) is None


def test_a_sphere_at_the_border_is_cut():
    lesion = sphere_lesion("scan", np.asarray([0.0, 10.0, 0.0]), 6.0, VolumeGeometry((10, 20, 30), (2.0, 1.0, 1.0)))
    assert lesion is not None
    assert lesion.box == (0, 7.5, 0, 3.5, 13.5, 2)
    assert [index for index, *_ in lesion.slices] == [0, 1]
