import hashlib
import shutil
from pathlib import Path

import pytest
from sqlalchemy import text

from lens_engine.checkpoint_card import (
    DEMO_NOTICE,
    CheckpointCard,
    DetectionPrecision,
    NetworkKind,
    TrainedOn,
    demo_checkpoint_folder,
)
from lens_engine.errors import CheckpointError, StoreError
from lens_engine.model_folder import REDUCTION_NAME
from lens_engine.store.database import Database
from lens_engine.store.models.model_versions import Models, register_demo_model


def checkpoint(
    folder: Path,
    weights: bytes = b"weights",
    trained_on: TrainedOn = TrainedOn.PATIENTS,
    network: NetworkKind = NetworkKind.DETECTOR,
) -> Path:
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(weights)
    card = CheckpointCard(
        network=network,
        experts=("universal", "lung"),
        trained_on=trained_on,
        notice=DEMO_NOTICE if trained_on is TrainedOn.PHANTOMS else "",
        weights_digest=hashlib.sha256(weights).hexdigest(),
    )
    (folder / "card.json").write_text(card.model_dump_json())
    return folder


def test_registered_model_is_a_copy_with_its_lineage(database: Database, tmp_path: Path) -> None:
    models = Models(database)
    first = models.register(checkpoint(tmp_path / "one", trained_on=TrainedOn.PHANTOMS))
    second = models.register(checkpoint(tmp_path / "two", b"other"), parent="v1")
    assert (first.version, first.is_demo, first.notice) == ("v1", True, DEMO_NOTICE)
    assert (second.version, second.parent, second.is_demo) == ("v2", "v1", False)
    assert (second.folder / "weights.safetensors").read_bytes() == b"other"
    assert second.experts == ("universal", "lung")
    assert models.all() == (first, second)
    assert sorted(path.name for path in database.project.models_folder.iterdir()) == ["v1", "v2"]


def reduction(folder: Path, weights: bytes = b"second") -> Path:
    return checkpoint(folder, weights, network=NetworkKind.FALSE_POSITIVE_REDUCTION)


def test_the_false_positive_reduction_of_a_run_is_part_of_the_version(database: Database, tmp_path: Path) -> None:
    run = checkpoint(tmp_path / "run")
    reduction(run / REDUCTION_NAME)
    record = Models(database).register(run)
    assert record.reduction == record.folder / REDUCTION_NAME
    assert (record.reduction / "weights.safetensors").read_bytes() == b"second"
    assert Models(database).get("v1") == record
    assert Models(database).register(run) == record


def test_a_detector_with_another_reduction_or_none_is_another_version(database: Database, tmp_path: Path) -> None:
    models, detector = Models(database), checkpoint(tmp_path / "one")
    plain = models.register(detector)
    first = models.register(detector, reduction=reduction(tmp_path / "first"))
    second = models.register(detector, reduction=reduction(tmp_path / "second", b"third"))
    assert [record.version for record in (plain, first, second)] == ["v1", "v2", "v3"]
    assert plain.reduction is None
    assert (plain.not_inherited, "v2 finds" in first.not_inherited) == ("", True)
    assert models.all() == (plain, first, second)


def test_a_version_without_reduction_does_not_take_that_of_a_process_that_died(
    database: Database, tmp_path: Path
) -> None:
    reduction(checkpoint(database.project.models_folder / "v1") / REDUCTION_NAME)
    assert Models(database).register(checkpoint(tmp_path / "one")).reduction is None


def test_a_version_in_another_precision_is_a_version_of_its_own_found_again_from_both_sides(
    database: Database, tmp_path: Path
) -> None:
    models, run = Models(database), checkpoint(tmp_path / "run")
    reduction(run / REDUCTION_NAME)
    first = models.register(run)
    other = models.in_precision("v1", DetectionPrecision.BF16)
    assert (other.version, other.parent, other.precision) == ("v2", "v1", DetectionPrecision.BF16)
    assert other.reduction is not None
    assert models.in_precision("v1", DetectionPrecision.BF16) == other
    assert models.in_precision("v2", DetectionPrecision.BF16) == other
    assert models.in_precision("v2", DetectionPrecision.FP32) == first
    assert [record.version for record in models.all()] == ["v1", "v2"]


def test_a_damaged_reduction_is_refused_and_leaves_nothing(database: Database, tmp_path: Path) -> None:
    run = checkpoint(tmp_path / "run")
    (reduction(run / REDUCTION_NAME) / "weights.safetensors").write_bytes(b"changed")
    with pytest.raises(CheckpointError, match=rf"{REDUCTION_NAME}.*The card says"):
        Models(database).register(run)
    assert Models(database).all() == ()
    assert list(database.project.models_folder.iterdir()) == []


def test_registering_the_same_checkpoint_again_gives_the_same_version(database: Database, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "one")
    assert Models(database).register(folder) == Models(database).register(folder)
    assert len(Models(database).all()) == 1


def test_cards_without_a_digest_do_not_make_two_models_one(database: Database, tmp_path: Path) -> None:
    models, first = Models(database), checkpoint(tmp_path / "first")
    card = CheckpointCard.model_validate_json((first / "card.json").read_text())
    (first / "card.json").write_text(card.model_copy(update={"weights_digest": ""}).model_dump_json())
    second = shutil.copytree(first, tmp_path / "second")
    (second / "weights.safetensors").write_bytes(b"others")
    assert [models.register(folder).version for folder in (first, second, first)] == ["v1", "v2", "v1"]


def test_a_trained_version_is_known_again_without_its_lineage(database: Database, tmp_path: Path) -> None:
    models, folder = Models(database), checkpoint(tmp_path / "trained")
    models.register(checkpoint(tmp_path / "start", b"start"))
    trained = models.register(folder, parent="v1")
    assert models.register(folder) == trained
    assert models.register(folder, parent="v2").version == "v3"


def test_a_lost_folder_takes_no_other_version_with_it(database: Database, tmp_path: Path) -> None:
    models = Models(database)
    kept, lost = (models.register(checkpoint(tmp_path / name, name.encode())) for name in ("kept", "lost"))
    models.promote(lost.version)
    shutil.rmtree(lost.folder)
    assert models.all() == (kept,)
    (damage,) = models.damaged()
    assert "Model version v2 cannot be used" in str(damage)
    with pytest.raises(StoreError, match="use another version: lens models --promote VERSION"):
        models.promoted()
    assert models.register(tmp_path / "lost").version == "v3"
    assert models.promote("v1").version == "v1"


def test_promotion_and_rolling_back_are_remembered(database: Database, tmp_path: Path) -> None:
    models = Models(database)
    for name in ("one", "two"):
        models.register(checkpoint(tmp_path / name, name.encode()))
    with pytest.raises(StoreError, match="No model is in use"):
        models.promoted()
    models.promote("v1")
    models.promote("v2")
    assert models.promoted().version == "v2"
    assert models.roll_back().version == "v1"
    assert [record.is_promoted for record in models.all()] == [True, False]
    with pytest.raises(StoreError, match="append-only"), database.session() as session:
        session.execute(text("DELETE FROM promotions"))


def test_unknown_version_parent_or_snapshot_is_named(database: Database, tmp_path: Path) -> None:
    models, folder = Models(database), checkpoint(tmp_path / "one")
    for call in (lambda: models.promote("v8"), lambda: models.register(folder, parent="v8"), lambda: models.get("v8")):
        with pytest.raises(StoreError, match="v8"):
            call()
    with pytest.raises(StoreError, match="snapshot 'abc'"):
        models.register(folder, snapshot_id="abc")
    with pytest.raises(StoreError, match="No other version"):
        models.roll_back()
    assert models.all() == ()
    assert list(database.project.models_folder.iterdir()) == []


def test_weights_that_do_not_fit_the_card_are_refused(database: Database, tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "one")
    (folder / "weights.safetensors").write_bytes(b"changed")
    with pytest.raises(CheckpointError, match="The card says"):
        Models(database).register(folder)
    (folder / "weights.safetensors").unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        Models(database).register(folder)
    with pytest.raises(CheckpointError):
        Models(database).register(tmp_path / "nothing")
    assert list(database.project.models_folder.iterdir()) == []


def test_evaluations_are_kept_with_their_version(database: Database, tmp_path: Path) -> None:
    models = Models(database)
    models.register(checkpoint(tmp_path / "one"))
    models.add_evaluation("v1", {"IoBB": 0.4})
    models.add_evaluation("v1", {"IoBB": 0.5})
    models.add_evaluation("v1", {"IoBB": 0.5})
    assert [item.result for item in models.evaluations("v1")] == [{"IoBB": 0.4}, {"IoBB": 0.5}]
    with pytest.raises(StoreError, match="v3"):
        models.add_evaluation("v3", {})


def test_demo_model_is_registered_once_and_promoted(database: Database) -> None:
    if not (demo_checkpoint_folder() / "card.json").is_file():
        pytest.skip("the demo model has not been trained yet")
    first = register_demo_model(database)
    assert register_demo_model(database) == first
    assert first.is_promoted
    assert first.is_demo
    assert first.notice == DEMO_NOTICE
