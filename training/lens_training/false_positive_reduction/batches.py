"""From the plan to tensors: nothing but its number decides a batch, whoever makes it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lens_engine.detector.false_positive_reduction.patches import Patch
from lens_training.false_positive_reduction.augmentation import varied
from lens_training.false_positive_reduction.module import PatchBatch
from lens_training.false_positive_reduction.samples import Meaning, Sample
from lens_training.false_positive_reduction.sampling import PatchPlan

_AUGMENTATION_STREAM = 5
"""Keeps the numbers drawn here apart from those of other parts with the same seed and batch."""


class StoredPatches(NamedTuple):
    """Patches in a file.

    Attributes
    ----------
    records
        As `PatchShelf.records` returns them.
    rows
        The record of each sample.
    """

    records: NDArray[np.void]
    rows: NDArray[np.intp]


class PatchBatches(Dataset[PatchBatch]):
    """The batches of a run, by number.

    Parameters
    ----------
    stored
        A patch for each sample.
    plan
        Which of the same samples make up each batch.
    """

    def __init__(self, stored: StoredPatches, samples: Sequence[Sample], plan: PatchPlan) -> None:
        self._stored = stored
        self._is_lesion = np.array([sample.meaning is Meaning.LESION for sample in samples])
        self._plan = plan

    def __getitem__(self, number: int) -> PatchBatch:
        rows = self._plan.batch(number)
        generator = np.random.default_rng([self._plan.seed, number, _AUGMENTATION_STREAM])
        records = self._stored.records[self._stored.rows[rows]]
        found = (Patch(record["voxels"], record["box"]) for record in records)
        patches = [varied(patch, self._plan.recipe, generator) for patch in found]
        return PatchBatch(
            voxels=torch.from_numpy(np.stack([patch.voxels for patch in patches])[:, None]),
            boxes=torch.from_numpy(np.stack([patch.box for patch in patches])),
            is_lesion=torch.from_numpy(self._is_lesion[rows]),
            number=number,
        )
