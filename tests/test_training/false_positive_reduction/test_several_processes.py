"""Two processes share the scans, learn together, and end together."""

from pathlib import Path

import pytest
import torch
from support.processes import fpr_rank_program
from support.processes.ranks import outcomes, run_ranks
from support.training.fpr_findings import CONFIG, RECIPE, found, scans
from torch import Tensor

from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_training.false_positive_reduction.case_lines import SAMPLES_FILE
from lens_training.false_positive_reduction.fit import FprRun, fit_network, new_network
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which two processes have tried all runs of `fpr_rank_program`."""
    folder = tmp_path_factory.mktemp("together")
    run_ranks(fpr_rank_program, folder)
    return folder


def learnt(folder: Path, name: str, rank: int = 0) -> dict[str, Tensor]:
    """Return what a process has learnt; running statistics are those of its own batches."""
    state = torch.load(folder / f"{name}-{rank}.pt", weights_only=True)
    return {key: state[key] for key, _ in new_network(CONFIG, 0).named_parameters()}


def are_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


def test_both_learn_the_same_in_half_as_many_steps_from_scans_that_they_share(together: Path, tmp_path: Path) -> None:
    first, second = outcomes(together, "whole")
    assert first["read"]
    assert second["read"]
    assert sorted(first["read"] + second["read"]) == ["0", "1", "2", "3"]
    assert are_equal(learnt(together, "whole", 0), learnt(together, "whole", 1))
    alone = new_network(CONFIG, 0)
    run = FprRun(scans(), RECIPE, 0, "same", tmp_path, threads=1)
    outcome = fit_network(alone, run, found, ProgressLog(None, None), StopSignal())
    assert first["counts"] == second["counts"] == outcome.counts
    assert (first["steps"], outcome.steps) == (2, 4)
    assert not are_equal(learnt(together, "whole"), dict(new_network(CONFIG, 0).named_parameters()))
    own, theirs = ((folder / SAMPLES_FILE).read_text().splitlines()[1:] for folder in (tmp_path, together / "a"))
    assert sorted(own) == sorted(theirs)
    assert sorted(path.name for path in (together / "a").iterdir()) == [LAST_CHECKPOINT, SAMPLES_FILE]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("stopped-looking", "TrainingStoppedError", "--resume"),
        ("stopped-learning", "TrainingStoppedError", "--resume"),
        ("missed", "TrainingStoppedError", "--resume"),
        ("unreadable", "TrainingInterruptedError", "Process 1 misses"),
    ],
)
def test_what_happens_to_one_process_ends_both_and_the_first_one_tells(
    together: Path, name: str, error: str, message: str
) -> None:
    first, second = outcomes(together, name)
    assert first["error"] == error
    assert message in first["message"]
    assert second["error"] == "EndedElsewhereError"


@pytest.mark.parametrize("name", ["looked-on", "learnt-on", "finished", "copied again"])
def test_a_run_that_goes_on_equals_one_that_was_never_stopped(together: Path, name: str) -> None:
    assert outcomes(together, name)[0]["steps"] == outcomes(together, "whole")[0]["steps"]
    assert are_equal(learnt(together, name), learnt(together, "whole"))
