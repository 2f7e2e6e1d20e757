"""One of two processes that train together, to be started as torchrun would: tries several runs and notes how they end.

`python rank_program.py FOLDER`: the folder has the scans of `scenes.write_snapshot`; outcomes and weights go there.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import torch

from lens_engine.detector.assembly import LensDetector
from lens_engine.errors import LensError, SeriesError
from lens_engine.snapshot import Snapshot
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.snapshot import training_set
from lens_training.detector.fit import fit
from lens_training.detector.run import Run
from lens_training.detector.sampling import BatchPlan
from lens_training.recipes.recipe import Recipe
from lens_training.running.processes.world import world_of
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal
from support.processes.ranks import note_outcomes
from support.training.training_runs import StoppingStream
from support.training.training_scenes import EXPERTS, RECIPE, tiny_model

SHORT_STEPS, LONG_STEPS, STOPPED_STEP = 4, 24, 2


@dataclass(frozen=True)
class Attempt:
    """One run that both processes try."""

    name: str
    recipe: Recipe
    cases: TrainingSet
    model: LensDetector
    seed: int = 0
    stream: StringIO | None = None


def long_recipe() -> Recipe:
    return RECIPE.with_length(steps=LONG_STEPS)


def seed_with_lung_second(cases: TrainingSet) -> int:
    """Return a seed whose first two batches are of the universal data set and of lungs."""
    for seed in range(100):
        plan = BatchPlan(cases, RECIPE.sampling, seed)
        if [cases.cases[plan.batch(number)[0].case].dataset for number in range(2)] == list(EXPERTS):
            return seed
    raise AssertionError("no such seed")


def model_that_fails_on_lungs() -> LensDetector:
    model = tiny_model()
    with torch.no_grad():
        model.classifiers[1].bias.fill_(torch.nan)
    return model


def unreadable_for(rank: int, cases: TrainingSet) -> TrainingSet:
    """Return the same cases, whose files one of the processes cannot read when it needs them."""

    def failing(case: Case) -> Callable[[], Volume]:
        def load() -> Volume:
            if int(os.environ["RANK"]) == rank:
                raise SeriesError(f"Process {rank} misses {case.name}", "A file", "Copy it")
            return case.load()

        return load

    return replace(cases, cases=tuple(replace(case, load=failing(case)) for case in cases.cases))


def outcome(attempt: Attempt, folder: Path) -> dict[str, str | int]:
    """Try it and return what it ended with; the weights go to a file."""
    world = world_of(1, 1, os.environ)
    run_folder = folder / attempt.name
    run_folder.mkdir(exist_ok=True)
    run = Run(attempt.cases, attempt.recipe, attempt.seed, attempt.name, run_folder, world)
    stop = StopSignal()
    stop.listen()
    try:
        steps = fit(attempt.model, run, ProgressLog(attempt.stream, None, 0), stop)
    except LensError as error:
        return {"error": type(error).__name__, "message": str(error)}
    torch.save(attempt.model.state_dict(), folder / f"{attempt.name}-{world.rank}.pt")
    return {"steps": steps}


def main(folder: Path) -> None:
    rank = int(os.environ["RANK"])
    cases = training_set(Snapshot.load(folder / "snapshot.json"), {"scans": folder})
    short = RECIPE.with_length(steps=SHORT_STEPS)
    forgetful = short.with_options({"sampling": RECIPE.sampling.model_copy(update={"cache_gib": 1e-9}), "workers": 1})
    attempts = [
        Attempt("short", short, cases, tiny_model()),
        Attempt("long", long_recipe(), cases, tiny_model()),
        Attempt("not-finite", short, cases, model_that_fails_on_lungs(), seed_with_lung_second(cases)),
        Attempt("unreadable", forgetful, unreadable_for(1, cases), tiny_model()),
        Attempt("stopped", short, cases, tiny_model(), stream=StoppingStream(STOPPED_STEP) if rank == 1 else None),
    ]
    note_outcomes(folder, {attempt.name: outcome(attempt, folder) for attempt in attempts})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
