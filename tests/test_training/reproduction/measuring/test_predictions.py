"""Predictions are written case by case: nothing is looked at twice, and what is done stays done."""

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.processes.full_disk import full_disk, needs_file_limit
from support.processes.lockless import refuse_all_locks
from support.training.training_scenes import Ball, case_of, key_slice_lesion, tiny_model, volume_with

from lens_engine.detector.inference.chosen_slices import detect_on_slices
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.errors import SeriesError
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.jobs.environment import process_environment
from lens_engine.proposals import Proposals
from lens_training.datasets.case import Case
from lens_training.errors import TrainingInterruptedError, TrainingStoppedError
from lens_training.reproduction.case_detections import CaseDetections, DetectionFiles
from lens_training.reproduction.measuring.measurer import EVALUATION_SCORE, Measurer
from lens_training.reproduction.measuring.predictions import CLAIMS_FILE, FindingsOfCases, Predictor
from lens_training.running.processes.world import ALONE, World
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

BALL = Ball(30, 34, 6, 14)
NOTHING = Proposals(
    ("universal", FUSED), 4.0, 4.0, np.zeros(0, np.int16), np.zeros(0, np.int32), np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32), np.zeros((0, 0), np.float32),
)  # fmt: skip
HOLD = """
import sys
from pathlib import Path
from lens_engine.io.file_claims import claim_in_file
with claim_in_file(Path(sys.argv[1]), sys.argv[2]) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


class Looks:
    """Finds one lesion in every case, and counts how often it looked; asks to end after so many."""

    def __init__(self, stop: StopSignal | None = None, after: int = 0) -> None:
        self.seen: list[str] = []
        self._stop, self._after = stop, after

    def __call__(self, case: Case) -> CaseDetections:
        self.seen.append(case.name)
        if self._stop is not None and len(self.seen) == self._after:
            self._stop._remember(15, None)
        return CaseDetections(NOTHING, findings=(found(FUSED), found("universal")))


def found(expert: str) -> Finding:
    return Finding(expert, (1, 2, 3, 4, 5, 4), (SliceBox(3, (1, 2, 4, 5), 0.5),), 0.5)


@pytest.fixture
def cases() -> list[Case]:
    return [replace(case_of("universal", key_slice_lesion(BALL)), name=name) for name in "abcd"]


@pytest.fixture
def files(tmp_path: Path) -> DetectionFiles:
    return DetectionFiles(tmp_path / "predictions", "these weights")


def predictor(stop: StopSignal | None = None, world: World = ALONE, shown: io.StringIO | None = None) -> Predictor:
    return Predictor(world, ProgressLog(shown, None, interval_seconds=0), stop or StopSignal())


def test_a_stopped_evaluation_goes_on_behind_the_last_whole_case(cases: list[Case], files: DetectionFiles) -> None:
    stop = StopSignal()
    first, shown = Looks(stop, after=2), io.StringIO()
    with pytest.raises(TrainingStoppedError):
        predictor(stop).predict(cases, files, first)
    rest = Looks()
    predictor(shown=shown).predict(cases, files, rest)
    assert first.seen + rest.seen == list("abcd")
    assert [json.loads(line)["done"] for line in shown.getvalue().splitlines()] == [2, 3, 4]


def test_what_is_written_is_read_one_case_at_a_time(cases: list[Case], files: DetectionFiles) -> None:
    predictor().predict(cases, files, Looks())
    findings = FindingsOfCases(cases, files, frozenset({"universal"}), StopSignal())
    assert list(findings) == list("abcd")
    assert list(findings["c"]) == [found("universal")]


def test_a_case_that_another_process_has_claimed_is_left_to_it_until_it_dies(
    cases: list[Case], files: DetectionFiles
) -> None:
    files.folder.mkdir()
    command = [sys.executable, "-c", HOLD, str(files.folder / CLAIMS_FILE), "b"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=process_environment())
    assert other.stdout is not None
    assert other.stdout.readline().strip() == b"True"
    looks = Looks()
    predictor(world=World(devices=2, rank=1)).predict(cases, files, looks)
    assert looks.seen == list("acd")
    other.kill()
    other.communicate()
    predictor(world=World(devices=2)).predict(cases, files, looks)
    assert looks.seen == list("acdb")


def test_a_scan_that_cannot_be_read_ends_the_evaluation_once_all_others_of_all_groups_are_done(
    cases: list[Case], files: DetectionFiles
) -> None:
    looks = Looks()

    def look(case: Case) -> CaseDetections:
        if case.name == "b":
            raise SeriesError("File 3 of 9 is cut off", "A whole file", "Copy it again")
        return looks(case)

    first = predictor()
    first.predict(cases[:3], files, look)
    first.predict(cases[3:], files, look)
    assert looks.seen == list("acd")
    with pytest.raises(TrainingInterruptedError, match=r"1 of 4 scans cannot be read: b \(File 3 of 9 is cut off\)"):
        first.refuse_unreadable()
    repaired = predictor()
    repaired.predict(cases, files, looks)
    repaired.refuse_unreadable()
    assert looks.seen == list("acdb")


def test_predictions_of_other_weights_are_replaced_and_told(cases: list[Case], files: DetectionFiles) -> None:
    predictor().predict(cases, files, Looks())
    looks, shown = Looks(), io.StringIO()
    predictor(shown=shown).predict(cases, replace(files, fingerprint="others"), looks)
    assert looks.seen == list("abcd")
    assert "4 predictions of other weights" in json.loads(shown.getvalue().splitlines()[0])["note"]
    assert not files.has(cases[0])


def test_a_disk_without_locks_ends_the_evaluation_instead_of_waiting_for_nobody(
    cases: list[Case], files: DetectionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_all_locks(monkeypatch)
    looks = Looks()
    with pytest.raises(TrainingInterruptedError, match=r"claims\.lock cannot be locked: No locks available"):
        predictor(world=World(devices=2, rank=1)).predict(cases, files, looks)  # the first one would wait
    assert looks.seen == []


def test_a_folder_that_cannot_be_made_is_refused_in_words(cases: list[Case], files: DetectionFiles) -> None:
    files.folder.write_text("a file in its place")
    with pytest.raises(TrainingInterruptedError, match="predictions cannot be written"):
        predictor().predict(cases, files, Looks())


@needs_file_limit
def test_a_full_disk_leaves_no_half_file_and_what_was_done(cases: list[Case], files: DetectionFiles) -> None:
    with full_disk(100), pytest.raises(TrainingInterruptedError, match=r"a\.parquet cannot be written"):
        predictor().predict(cases, files, Looks())
    assert [path.name for path in files.folder.iterdir()] == [CLAIMS_FILE]


class CountedFiles:
    """The slices of a scan, and which of them were read."""

    paths = ()

    def __init__(self) -> None:
        self.asked: list[int] = []

    def read(self, slices: object) -> np.ndarray:
        self.asked += list(slices)  # type: ignore[call-overload]  # a sequence
        return volume_with(BALL).voxels[list(slices)]  # type: ignore[call-overload]  # a sequence


def test_on_key_slices_only_what_their_samples_need_is_read_and_found(cases: list[Case]) -> None:
    scan, model = CountedFiles(), tiny_model().eval()
    for network in model.proposal_networks():
        network.start_with_sides(3.0)
    case = replace(cases[0], files=scan, load=lambda: pytest.fail("the whole scan was read"))
    seen = Measurer(model).look_at_key_slices(case)
    assert scan.asked == list(range(2, 11))
    post = model.config.post.model_copy(update={"score_threshold": EVALUATION_SCORE})
    voxels = volume_with(BALL).voxels
    same = detect_on_slices(InferenceDetector(model), case.geometry, lambda part: voxels[list(part)], [6], post)
    np.testing.assert_array_equal(seen.proposals.boxes, same.boxes)
    assert len(same.of(FUSED).scores) > 0
    whole = replace(cases[0], load=lambda: volume_with(BALL))
    np.testing.assert_array_equal(Measurer(model).look_at_key_slices(whole).proposals.boxes, same.boxes)
