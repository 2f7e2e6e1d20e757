"""One of two processes that train a false-positive reduction together, to be started as torchrun would.

`python fpr_rank_program.py FOLDER`: outcomes and weights go there.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import torch

from lens_engine.errors import LensError, SeriesError
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, TrainingSet
from lens_training.false_positive_reduction.fit import FprRun, fit_network, new_network
from lens_training.running.processes.world import world_of
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal
from support.processes.ranks import note_outcomes
from support.processes.waiting import wait_until
from support.training.fpr_findings import CONFIG, RECIPE, found, scans
from support.training.training_runs import StoppingStream

RANK = int(os.environ.get("RANK", "0"))

Load = Callable[[], Volume]


@dataclass(frozen=True)
class Attempt:
    """One run that both processes try."""

    folder: str
    in_second: Callable[[Case], None] = lambda _case: None
    """What happens to the second process when it reads its first scan."""
    stream: StringIO | None = None
    resume: bool = False
    unreadable_share: float = 0.0


class Meeting:
    """Has each process read one scan before the other one reads its second."""

    def __init__(self, folder: Path, in_second: Callable[[Case], None]) -> None:
        self.read: list[str] = []
        self._folder = folder
        self._in_second = in_second

    def joined_by(self, cases: TrainingSet) -> TrainingSet:
        """Return the same cases, numbered, whose reading is noted."""
        named = (replace(case, name=str(number)) for number, case in enumerate(cases.cases))
        return replace(cases, cases=tuple(replace(case, load=self._reader(case)) for case in named))

    def _reader(self, case: Case) -> Load:
        def load() -> Volume:
            if not self.read:
                (self._folder / f"met-{RANK}").touch()
                wait_until((self._folder / f"met-{1 - RANK}").exists, "the other process reads a scan")
                if RANK == 1:
                    self._in_second(case)
            self.read.append(case.name)
            return case.load()

        return load


def miss(case: Case) -> None:
    raise SeriesError(f"Process {RANK} misses {case.name}", "A file", "Copy it")


def stop(_case: Case) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def miss_and_stop(case: Case) -> None:
    stop(case)
    miss(case)


def outcome(name: str, attempt: Attempt, folder: Path) -> dict[str, object]:
    """Try it and return what it ended with; the weights go to a file."""
    run_folder = folder / attempt.folder
    run_folder.mkdir(exist_ok=True)
    met = folder / name
    met.mkdir(exist_ok=True)
    meeting, signals = Meeting(met, attempt.in_second), StopSignal()
    signals.listen()
    cases = scans() if attempt.resume else meeting.joined_by(scans())
    world, share = world_of(1, 1, os.environ), attempt.unreadable_share
    run = FprRun(cases, RECIPE, 0, "same", run_folder, threads=1, world=world, unreadable_share=share)
    network = new_network(CONFIG, 0)
    try:
        done = fit_network(network, run, found, ProgressLog(attempt.stream, None, 0), signals, resume=attempt.resume)
    except LensError as error:
        return {"error": type(error).__name__, "message": str(error), "read": meeting.read}
    torch.save(network.state_dict(), folder / f"{name}-{RANK}.pt")
    return {"steps": done.steps, "counts": done.counts, "read": meeting.read}


def main(folder: Path) -> None:
    attempts = {
        "whole": Attempt("a"),
        "stopped-looking": Attempt("b", stop),
        "looked-on": Attempt("b", resume=True),
        "stopped-learning": Attempt("c", stream=StoppingStream(1) if RANK == 1 else None),
        "learnt-on": Attempt("c", resume=True),
        "finished": Attempt("a", resume=True),
        "unreadable": Attempt("d", miss),
        "missed": Attempt("e", miss_and_stop, unreadable_share=0.2),
        "copied again": Attempt("e", resume=True, unreadable_share=0.2),
    }
    note_outcomes(folder, {name: outcome(name, attempt, folder) for name, attempt in attempts.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
