import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lens_engine.errors import AnnotationFileError, ProjectError
from lens_engine.findings import Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.snapshot import LabelSet, Lesion, LesionOrigin, LesionRole, Snapshot, SnapshotSeries, SnapshotSource

GEOMETRY = VolumeGeometry((20, 64, 64), (2.0, 0.8, 0.8)).as_dict()


def canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def lesion(**changes: object) -> Lesion:
    values = {
        "series": "a",
        "box": (1, 2, 3, 11, 12, 5),
        "slices": ((3, 1, 2, 11, 12), (4, 2, 3, 9, 9)),
        "role": LesionRole.POSITIVE,
        "origin": LesionOrigin.ANNOTATION,
    }
    return Lesion.model_validate(values | changes)


def snapshot(*lesions: Lesion, **changes: object) -> Snapshot:
    source = SnapshotSource(format="nifti", paths=("scan.nii.gz",))
    series = SnapshotSeries(
        name="a",
        dataset="universal",
        split=Split.TRAIN,
        patient="000001",
        geometry=GEOMETRY,
        source=source,
        lesions=lesions,
    )
    values = {"experts": ("universal",), "scopes": (Scope.UNIVERSAL,), "series": (series,), "labels": LabelSet.ORIGINAL}
    return Snapshot.model_validate(values | changes)


@given(x=st.floats(0, 30, width=32), width=st.floats(0.5, 30, width=32), index=st.integers(0, 19))
def test_a_saved_snapshot_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, x: float, width: float, index: int
):
    path = tmp_path_factory.mktemp("snapshot") / "s.json"
    before = snapshot(lesion(box=(x, 2, index, x + width, 9, index + 1), slices=((index, x, 2, x + width, 9),)))
    before.save(path)
    after = Snapshot.load(path)
    assert after == before
    assert after.digest == before.digest


def test_a_lesion_of_a_file_from_before_types_were_said_is_one_for_the_expert_of_its_series(tmp_path: Path):
    path = tmp_path / "s.json"
    accepted, rejected = (
        lesion(origin=LesionOrigin.DECISION, role=role) for role in (LesionRole.POSITIVE, LesionRole.NEGATIVE)
    )
    before = snapshot(accepted, rejected)
    before.save(path)
    assert path.read_text().count('"experts":null') == 2
    accepted, rejected = Snapshot.load(path).series[0].lesions
    assert [accepted.is_for(expert, "universal") for expert in ("universal", "lung")] == [True, False]
    assert [rejected.is_for(expert, "universal") for expert in ("universal", "lung")] == [True, True]


@pytest.mark.parametrize("role", [LesionRole.POSITIVE, LesionRole.NEGATIVE])
def test_a_lesion_that_names_its_experts_is_one_for_them_wherever_it_lies(role: LesionRole):
    named = lesion(role=role, experts=("universal", "lung"))
    assert [named.is_for(expert, "liver") for expert in ("universal", "lung", "liver")] == [True, True, False]


@given(names=st.lists(st.sampled_from("abcdef"), unique=True))
def test_what_is_written_series_by_series_is_the_json_of_the_whole(tmp_path_factory: Any, names: list[str]):
    one = snapshot(lesion())
    whole = one.model_copy(
        update={
            "series": tuple(one.series[0].model_copy(update={"name": name, "lesions": ()}) for name in names),
            "chain_heads": {2: "b", 10: "a"},
        }
    )
    content = whole.model_dump(mode="json")
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    whole.save(path)
    assert path.read_text() == canonical(content)
    del content["chain_heads"]
    assert whole.digest == hashlib.sha256(canonical(content).encode()).hexdigest()


def test_the_digest_changes_with_any_label():
    assert snapshot(lesion()).digest != snapshot(lesion(role=LesionRole.IGNORE)).digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box": (5, 2, 3, 5, 12, 5)}, "low < high"),
        ({"slices": ()}, "no cross-section"),
        ({"role": LesionRole.IGNORE, "experts": ("lung",)}, "nobody learns it"),
    ],
)
def test_an_inconsistent_lesion_is_refused(changes: dict[str, object], message: str):
    with pytest.raises(ValidationError, match=message):
        lesion(**changes)


@pytest.mark.parametrize("experts", [None, ("lung", "universal")])
def test_a_rejection_is_certain_for_named_experts_or_for_all(experts: tuple[str, ...] | None):
    assert lesion(role=LesionRole.NEGATIVE, experts=experts).experts == experts


def test_a_lesion_outside_its_series_is_refused():
    with pytest.raises(ValidationError, match="outside its 20 slices"):
        snapshot(lesion(slices=((20, 1, 2, 11, 12),)))


def test_a_series_of_an_unknown_data_set_is_refused():
    with pytest.raises(ValidationError, match="'universal'"):
        snapshot(experts=("lung",))


@pytest.mark.parametrize(
    ("text", "message"), [("{}", "experts"), ("no json", "JSON"), ('{"format_version": 7}', "experts")]
)
def test_a_broken_snapshot_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(AnnotationFileError, match=rf"labels\.json.*{message}"):
        Snapshot.load(path)


def test_a_missing_snapshot_is_named(tmp_path: Path):
    with pytest.raises(AnnotationFileError, match=r"gone\.json"):
        Snapshot.load(tmp_path / "gone.json")


def test_an_unmapped_root_is_named():
    source = SnapshotSource(format="nifti", paths=("scan.nii.gz",), root="archive")
    with pytest.raises(ProjectError, match="'archive'"):
        source.resolve({})
    assert source.resolve({"archive": Path("mnt")}) == (Path("mnt/scan.nii.gz"),)


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/scan.nii.gz", "a/../../scan.nii.gz"])
def test_a_path_that_leaves_its_root_is_refused(path: str):
    with pytest.raises(ValidationError, match="leaves its root 'archive'"):
        SnapshotSource(format="nifti", paths=(path,), root="archive")
