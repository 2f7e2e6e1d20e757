"""The runner with the smallest training there is: one number that is drawn to zero."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lens_engine.errors import LensError, SeriesError
from lens_training.errors import TrainingError
from lens_training.running.batch_numbers import BatchNumbers
from lens_training.running.course import Course, RunSettings
from lens_training.running.processes.joint import JointTraining
from lens_training.running.processes.world import World
from lens_training.running.progress import ProgressLog
from lens_training.running.runner import Reports, train
from lens_training.running.schedule import ScheduleRecipe, TrainingPrecision
from lens_training.running.stopping import StopSignal

STEPS = 4


class OneNumber(JointTraining[Tensor]):
    samples_name = "numbers"

    def __init__(self) -> None:
        super().__init__(ScheduleRecipe(learning_rate=0.1), TrainingPrecision.FP32, STEPS)
        self.number = nn.Parameter(torch.ones(1))

    def losses(self, batch: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        return (self.number * batch).square().sum(), {}

    def samples_in(self, batch: Tensor) -> int:
        return len(batch)

    def latest_loss_of(self, batch: Tensor) -> str:
        return f"{batch.tolist()} is {self.latest['loss']}"

    def memory_error(self) -> TrainingError:
        return TrainingError("There is no room for a number", "", "")


class TooLarge(OneNumber):
    def losses(self, batch: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        raise torch.OutOfMemoryError("no room")


class Defect(OneNumber):
    def losses(self, batch: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        raise RuntimeError("a defect of ours")


class Batches(Dataset[Tensor | LensError]):
    """The number of each batch; one of them cannot be read, and another one ends the process that makes it."""

    def __init__(self, unreadable: int = -1, deadly: int = -1) -> None:
        self._unreadable = unreadable
        self._deadly = deadly

    def __getitem__(self, number: int) -> Tensor | LensError:
        if number == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return SeriesError(f"{number} is lost", "", "") if number == self._unreadable else torch.ones(1)


def course_in(folder: Path, first: int = 0) -> Course:
    settings = RunSettings(TrainingPrecision.FP32, log_every=1, checkpoint_every=2)
    return Course(range(first, STEPS), folder, "same", settings)


def run(training: OneNumber, folder: Path, batches: Batches | None = None, workers: int = 0) -> None:
    course = course_in(folder)
    loader = DataLoader(
        batches or Batches(),
        batch_size=None,
        sampler=BatchNumbers(course.batch_numbers),
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
    )
    train(training, loader, course, Reports(ProgressLog(None, None), StopSignal()))


def test_every_step_is_done_and_the_last_one_saved(tmp_path: Path):
    training = OneNumber()
    run(training, tmp_path)
    state = torch.load(course_in(tmp_path).last_checkpoint, weights_only=True)
    assert state["global_step"] == STEPS
    assert state["state_dict"]["number"] == training.number
    assert float(training.number.detach()) < 1


def test_what_comes_in_place_of_a_batch_ends_the_run(tmp_path: Path):
    with pytest.raises(SeriesError, match="2 is lost"):
        run(OneNumber(), tmp_path, Batches(unreadable=2))
    assert torch.load(course_in(tmp_path).last_checkpoint, weights_only=True)["global_step"] == 2


def test_a_worker_that_was_killed_is_explained(tmp_path: Path):
    with pytest.raises(TrainingError, match=r"process that prepares batches has ended .* Lower workers"):
        run(OneNumber(), tmp_path, Batches(deadly=1), workers=1)


def test_a_step_that_does_not_fit_is_told_in_the_words_of_the_network(tmp_path: Path):
    with pytest.raises(TrainingError, match="no room for a number"):
        run(TooLarge(), tmp_path)


def test_a_defect_of_ours_is_not_explained_away(tmp_path: Path):
    with pytest.raises(RuntimeError, match="a defect of ours"):
        run(Defect(), tmp_path)


def test_what_cannot_be_prepared_ends_the_run_before_its_first_step(tmp_path: Path):
    def prepare() -> None:
        raise SeriesError("nothing can be read", "", "")

    reports = Reports(ProgressLog(None, None), StopSignal())
    with pytest.raises(SeriesError, match="nothing can be read"):
        train(OneNumber(), DataLoader(Batches()), course_in(tmp_path), reports, prepare)
    assert not course_in(tmp_path).last_checkpoint.exists()


KILLED_WHILE_SAVING = """
import os, sys
from pathlib import Path
from lens_engine.io.atomic_files import replacement_of
with replacement_of(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_a_checkpoint_that_a_killed_process_has_half_written_is_swept_by_the_next_one(tmp_path: Path):
    last = course_in(tmp_path).last_checkpoint
    subprocess.run([sys.executable, "-c", KILLED_WHILE_SAVING, str(last)], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    run(OneNumber(), tmp_path)
    assert list(tmp_path.iterdir()) == [last]


def test_all_processes_together_learn_from_every_batch_once():
    course = course_in(Path(), first=1)
    numbers = [replace(course, world=World(devices=3, rank=rank)).batch_numbers for rank in range(3)]
    assert sorted(number for own in numbers for number in own) == list(range(3, 12))
    assert {len(own) for own in numbers} == {3}
    assert course.batch_numbers == range(1, STEPS)
