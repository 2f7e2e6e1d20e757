"""Runs of a few steps in this process, for the tests of the training."""

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import torch

from lens_engine.jobs.names import LAST_CHECKPOINT
from lens_engine.snapshot import Snapshot
from lens_training.datasets.snapshot import training_set
from lens_training.detector.fit import fit
from lens_training.detector.run import Run
from lens_training.recipes.recipe import Recipe
from lens_training.running.progress import ProgressLog
from lens_training.running.stopping import StopSignal
from support.training.training_scenes import RECIPE, tiny_model


class StoppingStream(io.StringIO):
    """Sends SIGTERM to this process when a stage, by default the training, reports a step."""

    def __init__(self, step: int, stage: str = "train") -> None:
        super().__init__()
        self._step = step
        self._stage = stage

    def write(self, text: str) -> int:
        message = json.loads(text)
        if message["stage"] == self._stage and message["done"] == self._step:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().write(text)


def train(
    folder: Path, recipe: Recipe = RECIPE, stream: io.StringIO | None = None, *, resume: bool = False
) -> dict[str, torch.Tensor]:
    """Train a tiny model on the scans beside the folder and return its weights."""
    folder.mkdir(exist_ok=True)
    series = training_set(Snapshot.load(folder.parent / "snapshot.json"), {"scans": folder.parent})
    model, stop = tiny_model(), StopSignal()
    stop.listen()
    run = Run(series, recipe, seed=0, fingerprint="same", folder=folder)
    fit(model, run, ProgressLog(stream, None, interval_seconds=0), stop, resume=resume)
    return model.state_dict()


def last_state(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / LAST_CHECKPOINT, weights_only=True)
    return state
