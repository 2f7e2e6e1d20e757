import io
import json
import os
import resource
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.processes.full_disk import full_disk, needs_file_limit
from support.processes.lockless import refuse_all_locks
from support.training.fpr_findings import CONFIG, DARK, RECIPE, finding_of, found, scans
from support.training.training_scenes import BALLS, case_of, set_of, volume_with
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.false_positive_reduction.patches import PatchCutter
from lens_engine.detector.inference.predict import detect
from lens_engine.detector.inference.whole_volume import InferencePrecision, InferenceSettings
from lens_engine.errors import CheckpointError, ProjectError, SeriesError
from lens_engine.findings import FUSED, Finding
from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.errors import TrainingError, TrainingInterruptedError, TrainingStoppedError
from lens_training.false_positive_reduction.case_lines import SAMPLES_FILE, CaseLine, CaseLines
from lens_training.false_positive_reduction.collecting import Collection, collect, detector_findings
from lens_training.false_positive_reduction.fit import (
    FprOutcome,
    FprRun,
    fit_network,
    new_network,
)
from lens_training.false_positive_reduction.patch_file import PATCHES_FILE, PatchShelf
from lens_training.false_positive_reduction.samples import Meaning, Sample
from lens_training.false_positive_reduction.sampling import surplus
from lens_training.running.processes.agreement import Agreement
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports
from lens_training.running.schedule import TrainingPrecision
from lens_training.running.stopping import StopSignal
from lens_training.running.watch import EVENTS_FOLDER


@pytest.fixture(autouse=True)
def keep_process_state() -> Iterator[None]:
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, handler)


class TerminatingStream(io.StringIO):
    """Sends SIGTERM to this process at a certain message."""

    def __init__(self, stage: str, done: int) -> None:
        super().__init__()
        self._at = (stage, done)

    def write(self, text: str) -> int:
        message = json.loads(text)
        if (message["stage"], message["done"]) == self._at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def new_log(stream: io.StringIO | None = None) -> ProgressLog:
    return ProgressLog(io.StringIO() if stream is None else stream, None, interval_seconds=0)


def train(
    folder: Path,
    stream: io.StringIO | None = None,
    *,
    resume: bool = False,
    fingerprint: str = "same",
    precision: TrainingPrecision = TrainingPrecision.FP32,
    **changes: object,
) -> tuple[FprNetwork, FprOutcome]:
    folder.mkdir(exist_ok=True)
    network, stop = new_network(CONFIG, 0), StopSignal()
    stop.listen()
    run = FprRun(scans(), RECIPE.model_copy(update=changes), 0, fingerprint, folder, precision)
    return network, fit_network(network, run, found, new_log(stream), stop, resume=resume)


def same_weights(one: FprNetwork, other: FprNetwork) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_run_counts_what_it_saw_and_changes_the_network(tmp_path: Path):
    stream = io.StringIO()
    network, outcome = train(tmp_path, stream)
    # An epoch: 4 lesions, the rejected place and 3 of 8 false positives.
    assert outcome.steps == 2 * 2
    assert {name: count for name, count in outcome.counts.items() if count} == {
        "findings: lesion": 4,
        "findings: near a lesion": 4,
        "findings: false positive": 8,
        "samples: lesion": 4,
        "samples: false positive": 8,
        "samples: rejected": 1,
        "scans": 4,
        "scans of single-type data sets left out": 1,
    }
    messages = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert any(message.get("samples: lesion") == 4 for message in messages)
    assert [message["done"] for message in messages if message["stage"] == "train"] == [1, 2, 3, 4]
    assert not network.training
    assert not same_weights(network, new_network(CONFIG, 0))
    assert sorted(path.name for path in tmp_path.iterdir()) == [LAST_CHECKPOINT, SAMPLES_FILE]


def test_half_precision_learns_about_the_same(tmp_path: Path):
    exact, _ = train(tmp_path / "exact")
    rough, _ = train(tmp_path / "rough", precision=TrainingPrecision.BF16_MIXED)
    assert not same_weights(exact, rough)
    torch.testing.assert_close(exact.classifier.weight, rough.classifier.weight, rtol=0, atol=0.01)


@pytest.mark.parametrize("varies", [False, True])
def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(tmp_path: Path, varies: bool):
    varied = {"flips": varies, "shift": 2 * varies}
    whole, _ = train(tmp_path / "whole", **varied)
    with pytest.raises(TrainingStoppedError):
        train(tmp_path / "parts", TerminatingStream("train", 3), **varied)
    assert torch.load(tmp_path / "parts" / LAST_CHECKPOINT, weights_only=True)["global_step"] == 3
    resumed, outcome = train(tmp_path / "parts", resume=True, **varied)
    assert outcome.steps == 4
    assert same_weights(whole, resumed)
    finished, _ = train(tmp_path / "parts", resume=True, **varied)
    assert same_weights(whole, finished)


def test_a_run_that_was_killed_in_the_middle_of_a_line_looks_again_at_that_scan_only(tmp_path: Path):
    stop, looked = StopSignal(), []
    path = tmp_path / SAMPLES_FILE

    def look(case: Case) -> Sequence[Finding]:
        looked.append(case)
        return found(case)

    def collected() -> Collection:
        lines = CaseLines(tmp_path, "same", shelf_in(tmp_path))
        return collect(scans(), look, lines, UnreadableScans(), Agreement(), Reports(new_log(), stop))

    whole = collected()
    text = path.read_text()
    path.write_text(text[: text.rindex("samples")])
    looked.clear()
    again = collected()
    assert len(looked) == 1
    assert again.samples == whole.samples
    assert again.counts == whole.counts
    assert path.read_text() == text


def test_a_scan_that_cannot_be_read_is_named_and_teaches_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    first, broken, *others = scans().cases
    cases = set_of(first, replace(broken, name="broken", load=cut_off), *others)

    def collected(left_out: UnreadableScans) -> Collection:
        lines = CaseLines(tmp_path, "same", shelf_in(tmp_path))
        return collect(cases, found, lines, left_out, Agreement(), Reports(new_log(), StopSignal()))

    collection = collected(UnreadableScans(len(cases.cases), 0.3))
    assert {sample.case for sample in collection.samples} == {0, 2, 3}
    assert [record.getMessage()[:32] for record in caplog.records] == ["Scan broken is left out (1 of at"]
    assert collected(UnreadableScans()).samples == collection.samples


def cut_off() -> Volume:
    raise SeriesError("File 3 of 9 is cut off", "A whole file", "Copy it again")


def learn_from_all_but(folder: Path, *broken: int, resume: bool = False) -> FprNetwork:
    """Train on the scans, some of which cannot be read; one of five may be so."""
    cases = scans().cases
    known = set_of(*(replace(case, load=cut_off) if n in broken else case for n, case in enumerate(cases)))
    network, run = new_network(CONFIG, 0), FprRun(known, RECIPE, 0, "same", folder, unreadable_share=0.2)
    fit_network(network, run, found, new_log(), StopSignal(), resume=resume)
    return network


def test_scans_that_were_repaired_after_too_many_could_not_be_read_teach_as_all_others(tmp_path: Path):
    with pytest.raises(TrainingInterruptedError, match="2 of 5 scans cannot be read"):
        learn_from_all_but(tmp_path, 1, 3)
    repaired = learn_from_all_but(tmp_path, resume=True)
    assert same_weights(repaired, train(tmp_path / "whole")[0])


def test_scans_that_are_still_unreadable_are_counted_anew_when_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    for resume in (False, True):
        with pytest.raises(TrainingInterruptedError, match="2 of 5 scans cannot be read"):
            learn_from_all_but(tmp_path, 1, 3, resume=resume)
    caplog.clear()
    one_left_out = learn_from_all_but(tmp_path, 3, resume=True)
    assert len(caplog.records) == 1
    assert not same_weights(one_left_out, train(tmp_path / "whole")[0])


def test_a_scan_that_was_left_out_when_learning_began_stays_left_out(tmp_path: Path):
    begun = learn_from_all_but(tmp_path, 3)
    text = (tmp_path / SAMPLES_FILE).read_text()
    assert same_weights(learn_from_all_but(tmp_path, resume=True), begun)
    assert (tmp_path / SAMPLES_FILE).read_text() == text


@needs_file_limit
def test_a_full_disk_under_the_samples_ends_the_run_in_words_and_it_goes_on(tmp_path: Path):
    shelf = shelf_in(tmp_path / "elsewhere")
    shelf.path.parent.mkdir()
    lines, reports = CaseLines(tmp_path, "same", shelf), Reports(new_log(), StopSignal())
    unreadable = UnreadableScans()  # needs shared memory, which is a file
    with full_disk(10), pytest.raises(TrainingInterruptedError, match=r"samples\.jsonl cannot be written"):
        collect(scans(), found, lines, unreadable, Agreement(), reports)
    assert not list(tmp_path.glob("*.jsonl*"))
    collect(scans(), found, lines, unreadable, Agreement(), reports)
    assert len(lines.done) == 4


def test_a_disk_without_locks_ends_the_run_instead_of_waiting_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    refuse_all_locks(monkeypatch)
    with pytest.raises(TrainingInterruptedError, match=r"claims\.lock cannot be locked: No locks available"):
        train(tmp_path)


def test_a_line_is_written_only_where_files_are_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines = CaseLines(tmp_path, "same", shelf_in(tmp_path))
    lines.begin(1)
    refuse_all_locks(monkeypatch)
    with pytest.raises(TrainingInterruptedError, match=r"turn\.lock cannot be locked"):
        lines.add(CaseLine(case=0, samples=(), findings={}))


def test_a_stop_while_searching_keeps_the_scans_that_are_done(tmp_path: Path):
    with pytest.raises(TrainingStoppedError):
        train(tmp_path, TerminatingStream("prepare", 2))
    # The signal came while the third scan was announced, which is still looked at.
    assert len((tmp_path / SAMPLES_FILE).read_text().splitlines()) == 1 + 3
    assert (tmp_path / PATCHES_FILE).exists()
    resumed, _ = train(tmp_path, resume=True)
    assert same_weights(resumed, train(tmp_path)[0])


def test_event_files_show_loss_accuracy_and_speed(tmp_path: Path):
    run = FprRun(scans(), RECIPE, 0, "same", tmp_path, tensorboard=True)
    fit_network(new_network(CONFIG, 0), run, found, new_log(), StopSignal())
    events = EventAccumulator(str(tmp_path / EVENTS_FOLDER)).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "accuracy", "learning rate", "patches per second"}
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4]


def test_a_gradient_that_is_not_finite_ends_the_run_before_it_spoils_the_weights(tmp_path: Path):
    network = new_network(CONFIG, 0)
    with torch.no_grad():
        network.classifier.weight.mul_(1e20)
    with pytest.raises(TrainingError, match="gradient of step 0 is inf"):
        fit_network(network, FprRun(scans(), RECIPE, 0, "same", tmp_path), found, new_log(), StopSignal())
    assert all(bool(torch.isfinite(value).all()) for value in network.state_dict().values())
    assert not (tmp_path / LAST_CHECKPOINT).exists()


def test_patches_that_a_killed_process_has_half_written_are_written_over_by_the_next_one(tmp_path: Path):
    folder = tmp_path / "killed"
    with pytest.raises(TrainingStoppedError):
        train(folder, TerminatingStream("prepare", 2))
    with (folder / PATCHES_FILE).open("ab") as file:
        file.write(b"half")
    resumed, _ = train(folder, resume=True)
    assert same_weights(resumed, train(tmp_path / "whole")[0])
    assert sorted(path.name for path in folder.iterdir()) == [LAST_CHECKPOINT, SAMPLES_FILE]


def test_resuming_another_run_is_refused_and_starting_anew_is_not(tmp_path: Path):
    train(tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run"):
        train(tmp_path, resume=True, fingerprint="other")
    train(tmp_path, fingerprint="other")


def test_a_detector_that_finds_no_lesion_teaches_nothing(tmp_path: Path):
    run = FprRun(scans(), RECIPE, 0, "same", tmp_path)
    with pytest.raises(ProjectError, match=r"None of .* \(5 are false positives\)"):
        fit_network(new_network(CONFIG, 0), run, lambda _case: [finding_of(DARK)], new_log(), StopSignal())


def shelf_in(folder: Path, most: int = 100) -> PatchShelf:
    return PatchShelf(folder / PATCHES_FILE, CONFIG, most, seed=0)


def put(shelf: PatchShelf, number: int, case: Case, samples: Sequence[Sample]) -> None:
    shelf.put(number, samples, shelf.cut(number, case.load(), samples))


def balls_and_dark(case: int, dark: int) -> list[Sample]:
    """Return a lesion and that many false positives of a case."""
    ball = Sample(case, finding_of(list(BALLS.values())[case]).box, Meaning.LESION)
    others = [finding_of(DARK, first=first, last=first + 1).box for first in range(1, dark + 1)]
    return [ball, *(Sample(case, box, Meaning.FALSE_POSITIVE) for box in others)]


def test_the_patches_in_the_file_are_those_of_inference(tmp_path: Path):
    cases, shelf = scans().cases, shelf_in(tmp_path)
    samples = {number: balls_and_dark(number, 1) for number in (0, 2)}
    for number, own in samples.items():
        put(shelf, number, cases[number], own)
    every = [sample for own in samples.values() for sample in own]
    assert shelf.rows(every).tolist() == [0, 1, 2, 3]
    for sample, record in zip(every, shelf.records(), strict=True):
        patch = PatchCutter(cases[sample.case].load(), CONFIG).cut(sample.box)
        np.testing.assert_array_equal(record["box"], patch.box)
        np.testing.assert_allclose(record["voxels"], patch.voxels, atol=0.07)  # half precision up to 205


def test_false_positives_without_room_make_way_and_those_that_are_learnt_from_stay(tmp_path: Path):
    cases, most = scans().cases, 9
    samples = {number: balls_and_dark(number, 5) for number in range(4)}
    every = [sample for own in samples.values() for sample in own]
    whole, killed = shelf_in(tmp_path, most), shelf_in(tmp_path, most)
    for number, own in samples.items():
        put(whole, number, cases[number], own)
    rows = whole.rows(every)
    assert sorted(rows[rows >= 0].tolist()) == list(range(most))
    kept = [number for number in range(len(every)) if number not in surplus(every, RECIPE, most, seed=0)]
    assert len(kept) == most  # four lesions, and five of twenty false positives
    assert kept == np.flatnonzero(rows >= 0).tolist()
    for number in kept:
        patch = PatchCutter(cases[every[number].case].load(), CONFIG).cut(every[number].box)
        np.testing.assert_array_equal(whole.records()[rows[number]]["box"], patch.box)
    for number in (0, 1):
        killed.remember(number, samples[number])
    for number in (2, 3):  # done again after a kill
        put(killed, number, cases[number], samples[number])
    np.testing.assert_array_equal(killed.rows(every), rows)


def test_which_patches_stay_does_not_depend_on_who_stores_them_nor_on_what_a_killed_process_has_left(tmp_path: Path):
    cases, most = scans().cases, 9
    samples = {number: balls_and_dark(number, 5) for number in range(4)}
    every = [sample for own in samples.values() for sample in own]
    one, other = (CaseLines(tmp_path, "same", shelf_in(tmp_path, most)) for _ in range(2))
    one.begin(len(cases))
    for number, lines in ((2, one), (0, other), (3, other), (1, one)):
        with lines.path.open("ab") as file:
            file.write(b'{"case": 1, "sam')  # of a process that was killed
        found_places = tuple((sample.meaning, sample.box) for sample in samples[number])
        records = lines.shelf.cut(number, cases[number].load(), samples[number])
        lines.add(CaseLine(case=number, samples=found_places, findings={}), records)
    other.catch_up()
    rows = one.shelf.rows(every)
    np.testing.assert_array_equal(other.shelf.rows(every), rows)
    kept = [number for number in range(len(every)) if number not in surplus(every, RECIPE, most, seed=0)]
    assert kept == np.flatnonzero(rows >= 0).tolist()
    for number in kept:
        patch = PatchCutter(cases[every[number].case].load(), CONFIG).cut(every[number].box)
        np.testing.assert_array_equal(one.shelf.records()[rows[number]]["box"], patch.box)


def test_every_scan_is_read_once(tmp_path: Path):
    read: list[str] = []

    def counted(number: int, case: Case) -> Case:
        def load() -> Volume:
            read.append(f"{number}")
            return case.load()

        return replace(case, load=load)

    known = scans()
    counting = replace(known, cases=tuple(counted(number, case) for number, case in enumerate(known.cases)))
    run = FprRun(counting, RECIPE, 0, "same", tmp_path)
    fit_network(new_network(CONFIG, 0), run, lambda case: (case.load(), found(case))[1], new_log(), StopSignal())
    assert read == ["0", "1", "2", "3"]


@pytest.mark.parametrize("stopped", [("prepare", 2), ("train", 2)])
def test_patches_that_somebody_took_away_are_cut_again(tmp_path: Path, stopped: tuple[str, int]):
    with pytest.raises(TrainingStoppedError):
        train(tmp_path, TerminatingStream(*stopped))
    (tmp_path / PATCHES_FILE).unlink()
    resumed, _ = train(tmp_path, resume=True)
    assert same_weights(resumed, train(tmp_path / "whole")[0])


def test_a_full_disk_is_named_and_keeps_what_was_stored(tmp_path: Path):
    cases, shelf = scans().cases, shelf_in(tmp_path)
    put(shelf, 0, cases[0], balls_and_dark(0, 0))
    size = shelf.path.stat().st_size
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
    try:
        with pytest.raises(TrainingError, match="cannot be written"):
            put(shelf, 1, cases[1], balls_and_dark(1, 3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert shelf.path.stat().st_size >= size


def test_the_detector_looks_as_it_will_where_its_findings_are_judged():
    model, _ = load_checkpoint(demo_checkpoint_folder())
    case = case_of("universal", volume=volume_with(*BALLS.values()))
    rough = InferenceSettings(InferencePrecision.BF16)
    expected = [own for own in detect(model, case.load(), settings=rough).findings if own.expert == FUSED]
    threshold = model.config.post.score_threshold
    assert list(detector_findings(model, threshold, rough)(case)) == expected
    assert list(detector_findings(model, threshold)(case)) != expected


def test_the_detector_is_asked_for_its_fused_findings_down_to_the_given_score():
    model, _ = load_checkpoint(demo_checkpoint_folder())
    case = case_of("universal", volume=volume_with(*BALLS.values()))
    many, few = detector_findings(model, 0.01)(case), detector_findings(model, 0.9)(case)
    assert len(many) > len(few)
    assert min(finding.score for finding in many) < model.config.post.score_threshold
    assert {finding.expert for finding in many} == {FUSED}
