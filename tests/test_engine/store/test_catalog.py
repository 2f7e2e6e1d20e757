from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.projects.store_samples import AddSeries, new_series

from lens_engine.errors import ProjectError, StoreError
from lens_engine.findings import Scope, Split
from lens_engine.project import ProjectSettings
from lens_engine.store.catalog import Catalog, CompleteSeries, draw_split, hashed_key
from lens_engine.store.database import Database
from lens_engine.store.schema import SeriesRow

SUB_VOLUME = "000410_02_02_039-099"


def without_images(name: str, patient: str = "name:000410") -> dict[str, object]:
    return {
        "patient_key": patient,
        "study_key": f"{patient}_02",
        "series_key": f"name:{name}",
        "first_slice_number": 39,
        "last_slice_number": 99,
        "geometry": None,
        "source": None,
        "name": name,
    }


def test_lesion_types_are_those_of_single_type_data_sets_each_once(database: Database) -> None:
    catalog = Catalog(database)
    assert catalog.lesion_types() == ()
    for name, lesion_type in (("LUNA", "lung nodule"), ("LiTS", "liver"), ("clinic", "lung nodule")):
        catalog.add_dataset(name, Scope.SINGLE_TYPE, lesion_type)
    assert catalog.lesion_types() == ("lung nodule", "liver")


def test_adding_a_series_again_changes_nothing(database: Database) -> None:
    catalog = Catalog(database)
    first, is_new = catalog.add_series(new_series("a"), "universal")
    again, is_new_again = catalog.add_series(new_series("a"), "universal")
    assert (first, is_new, is_new_again) == (again, True, False)
    assert catalog.all_series() == (first,)


def test_coordinates_of_a_known_series_are_learnt_when_it_is_added_again(database: Database) -> None:
    catalog = Catalog(database)
    frames = []
    for frame_key in (None, "one frame"):
        record, _ = catalog.add_series(new_series("a", frame_key=frame_key), "universal")
        with database.reading() as session:
            frames.append(session.get_one(SeriesRow, record.id).frame_hash)
    assert frames[0] is None
    assert frames[1] == hashed_key("frame", "one frame", database.project.settings.split_salt)


def test_names_are_pseudonymous_numbers_in_the_order_of_adding(add_series: AddSeries) -> None:
    names = [
        add_series("a").name,
        add_series("b", patient_key="a", study_key="a").name,
        add_series("c", patient_key="a").name,
        add_series("d").name,
    ]
    assert names == ["000001_01_01_001-030", "000001_01_02_001-030", "000001_02_01_001-030", "000002_01_01_001-030"]


def test_identifiers_of_the_source_are_not_in_the_database(database: Database, add_series: AddSeries) -> None:
    add_series("x", patient_key="DOE^JANE", study_key="STUDY-77", series_key="1.2.840.99")
    database.close()
    content = (database.project.store_folder / "lens.sqlite").read_bytes()
    assert not any(secret in content for secret in (b"DOE^JANE", b"STUDY-77", b"1.2.840.99"))


def test_patient_keeps_its_first_split(database: Database, add_series: AddSeries) -> None:
    add_series("a", Split.VAL)
    assert add_series("b", None, patient_key="a").split is Split.VAL
    with pytest.raises(ProjectError, match="split 'val'"):
        add_series("c", Split.TRAIN, patient_key="a")
    assert len(Catalog(database).all_series()) == 2


def test_given_name_keeps_its_numbers(add_series: AddSeries) -> None:
    record = add_series("a", name=SUB_VOLUME, first_slice_number=39, last_slice_number=99)
    assert (record.name, record.patient_code, record.study_number, record.series_number) == (SUB_VOLUME, "000410", 2, 2)


def test_taken_number_gives_the_next_free_one_and_keeps_the_name(add_series: AddSeries) -> None:
    add_series("a", name="000410_01_01_001-030")
    record = add_series("b", name=SUB_VOLUME)
    assert (record.name, record.patient_code) == (SUB_VOLUME, "000411")


def test_name_of_a_whole_series_gets_its_slices(add_series: AddSeries) -> None:
    assert add_series("a", name="000410_02_02").name == "000410_02_02_001-030"


def test_images_join_the_series_that_an_annotation_file_has_named(database: Database, add_series: AddSeries) -> None:
    catalog = Catalog(database)
    named = add_series("x", Split.TEST, **without_images(SUB_VOLUME))
    assert catalog.all_series(with_images=True) == ()
    joined, learned = catalog.add_series(new_series("png", name=SUB_VOLUME), "universal")
    assert (joined.id, joined.split, learned) == (named.id, Split.TEST, True)
    assert catalog.all_series(with_images=True) == (joined,)
    assert catalog.add_series(new_series("png", name=SUB_VOLUME), "universal")[1] is False


def test_the_series_of_a_patient_are_those_that_can_be_looked_at(add_series: AddSeries, database: Database) -> None:
    first, _, second = (
        add_series("a", patient_key="p"),
        add_series("b", patient_key="other"),
        add_series("c", patient_key="p", study_key="a"),
    )
    add_series("d", patient_key="p", geometry=None, source=None)
    assert Catalog(database).of_patient(first.patient_id) == (first, second)


def test_the_splits_are_those_of_the_series_with_images(add_series: AddSeries, database: Database) -> None:
    held_out, learnt_from = add_series("a", Split.TEST), add_series("b", Split.TRAIN)
    add_series("c", Split.VAL, geometry=None, source=None)
    assert Catalog(database).splits_with_images() == {held_out.id: Split.TEST, learnt_from.id: Split.TRAIN}


def test_pseudonym_is_never_taken_for_the_name_of_another_patient(add_series: AddSeries) -> None:
    pseudonym = add_series("a")
    other = add_series("b", Split.TEST, **{**without_images(pseudonym.name, "name:000001"), "first_slice_number": 1})
    assert other.id != pseudonym.id


def test_series_stays_in_its_data_set(database: Database, add_series: AddSeries) -> None:
    Catalog(database).add_dataset("lung", Scope.SINGLE_TYPE, "lung")
    add_series("a")
    with pytest.raises(ProjectError, match="belongs to the data set 'universal'"):
        add_series("a", dataset="lung")


def test_data_set_cannot_change_its_scope(database: Database) -> None:
    with pytest.raises(ProjectError, match="exists as universal"):
        Catalog(database).add_dataset("universal", Scope.SINGLE_TYPE, "lung")
    with pytest.raises(ProjectError, match="names no lesion type"):
        Catalog(database).add_dataset("liver", Scope.SINGLE_TYPE)


def test_unknown_things_are_named(database: Database) -> None:
    catalog = Catalog(database)
    with pytest.raises(ProjectError, match="'lung'"):
        catalog.add_series(new_series("a"), "lung")
    with pytest.raises(StoreError, match="id 77"):
        catalog.series(77)
    with pytest.raises(StoreError, match="'nobody'"):
        catalog.by_name("nobody")


def test_many_series_are_added_together_or_not_at_all(database: Database) -> None:
    catalog = Catalog(database)
    catalog.add_series(new_series("a"), "universal", Split.VAL)
    with pytest.raises(ProjectError):
        catalog.add_many([new_series("b"), new_series("c", patient_key="a")], "universal", Split.TRAIN)
    assert len(catalog.all_series()) == 1


def test_geometry_and_source_come_back(database: Database, add_series: AddSeries) -> None:
    record = add_series("a")
    assert record.geometry == new_series("a").geometry
    assert record.source == new_series("a").source
    assert Catalog(database).by_name(record.name) == record


def test_completeness_is_remembered(database: Database, add_series: AddSeries) -> None:
    catalog = Catalog(database)
    series_id = add_series("a").id
    catalog.mark_complete(series_id, "val")
    assert (catalog.series(series_id).is_complete, catalog.series(series_id).test_set_part) == (True, "val")
    catalog.mark_complete(series_id, None, complete=False)
    assert (catalog.series(series_id).is_complete, catalog.series(series_id).test_set_part) == (False, None)


@given(key=st.text(), salt=st.text())
def test_split_depends_on_identifier_and_salt_alone(key: str, salt: str) -> None:
    settings = ProjectSettings(name="x", split_salt=salt)
    drawn = {draw_split(hashed_key("split", key, salt), settings) for _ in range(2)}
    assert len(drawn) == 1


def test_splits_have_the_shares_of_the_settings() -> None:
    settings = ProjectSettings(name="x")
    drawn = [draw_split(hashed_key("split", str(number), "salt"), settings) for number in range(4000)]
    shares = [drawn.count(split) / len(drawn) for split in (Split.TRAIN, Split.VAL, Split.TEST)]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.03)


def test_measured_on_are_complete_series_with_images_of_one_split(database: Database, add_series: AddSeries) -> None:
    catalog = Catalog(database)
    records = {
        "complete": add_series("a", Split.TEST),
        "partial": add_series("b", Split.TEST),
        "val": add_series("c", Split.VAL),
        "without images": add_series("d", Split.TEST, geometry=None, source=None),
    }
    for name in ("complete", "val", "without images"):
        catalog.mark_complete(records[name].id, None)
    record = records["complete"]
    assert catalog.complete_series(Split.TEST) == (CompleteSeries(record.id, record.patient_id),)


def test_series_inside_the_project_moves_with_it(database: Database, tmp_path: Path, add_series: AddSeries) -> None:
    scan = database.project.folder / "scans" / "a.nii.gz"
    source = new_series("a").source
    assert source is not None
    record = add_series("a", source=type(source)(source.format, (scan,)))
    assert record.source is not None
    assert record.source.paths == (scan,)
    database.close()
    database.project.folder.rename(tmp_path / "moved")
    moved = Database.open(type(database.project).open(tmp_path / "moved"))
    again = Catalog(moved).series(record.id).source
    moved.close()
    assert again is not None
    assert again.paths == (tmp_path / "moved" / "scans" / "a.nii.gz",)


def test_machine_may_keep_a_root_elsewhere(
    database: Database, tmp_path: Path, add_series: AddSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Catalog(database).add_root(Path("/data"), "archive") == "archive"
    record = add_series("a")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "lens-napari").mkdir()
    (tmp_path / "lens-napari" / "roots.yaml").write_text("archive: /mnt/other\n")
    source = Catalog(database).series(record.id).source
    assert source is not None
    assert source.paths == (Path("/mnt/other/a/scan.nii.gz"),)
    (tmp_path / "lens-napari" / "roots.yaml").write_text("- nonsense\n")
    with pytest.raises(ProjectError, match=r"roots\.yaml"):
        Catalog(database).series(record.id)


def test_a_root_has_a_name_that_a_command_can_be_told(database: Database) -> None:
    assert Catalog(database).add_root(Path("/data/dose=half")) == "dose-half"
    assert Catalog(database).root_folders() == {"dose-half": Path("/data/dose=half")}


def test_some_series_come_in_the_order_in_which_they_are_named(database: Database, add_series: AddSeries) -> None:
    first, second = add_series("a"), add_series("b")
    catalog = Catalog(database)
    assert catalog.some_series([second.id, first.id]) == (second, first)
    with pytest.raises(StoreError, match="id 99"):
        catalog.some_series([first.id, 99])
