"""Run the whole experiment: replicates side by side, each in projects of its own, then one comparison of all."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.phantom.patient import UNIVERSAL
from lens_training.loop.cohorts import ensure_cohort, test_cohort, truth_of
from lens_training.loop.design import LoopDesign
from lens_training.loop.replicate import Replicate, ReplicateFolders, ReplicateOutcome
from lens_training.loop.report import LoopResults, figure_of, figure_of_orders, results_of

RESULTS_FILE = "results.json"
PAGE_FILE = "results.md"
FIGURE_FILE = "loop.png"
ORDERS_FILE = "loop-orders.png"

Say = Callable[[str], None]


def run_loop(design: LoopDesign, folder: Path, say: Say, parallel: int = 1) -> LoopResults:
    """Do the experiment in `folder`, or go on with what is there, and write its results beside the files.

    Parameters
    ----------
    parallel
        How many replicates run at a time; each keeps one core busy.

    Raises
    ------
    LensError
        If a step fails; what is done stays done, and the same call goes on behind it.
    """
    test = folder / "test-patients"
    ensure_cohort(test, test_cohort(design))
    with ThreadPoolExecutor(parallel) as pool:
        outcomes = list(pool.map(partial(_replicate, design, folder, test, say), range(design.replicates)))
    drawn = {name: [box for box, _ in true.drawn] for name, true in truth_of(test, UNIVERSAL).items()}
    truth = {name: np.asarray(boxes, dtype=np.float64).reshape(-1, 6) for name, boxes in drawn.items()}
    results = results_of(design, outcomes, truth)
    write_text_atomically(folder / RESULTS_FILE, results.model_dump_json(indent=1) + "\n")
    write_text_atomically(folder / PAGE_FILE, results.text)
    figure_of(results).savefig(folder / FIGURE_FILE, dpi=150)
    figure_of_orders(results).savefig(folder / ORDERS_FILE, dpi=150)
    return results


def _replicate(design: LoopDesign, folder: Path, test: Path, say: Say, number: int) -> ReplicateOutcome:
    own = partial(_say_of, say, number)
    own("making its patients and project")
    return Replicate(design, number, ReplicateFolders(folder / f"run-{number + 1}", test), own).run()


def _say_of(say: Say, number: int, text: str) -> None:
    say(f"run {number + 1}: {text}")
