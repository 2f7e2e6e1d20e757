"""Which slices make up each batch: a pure function of seed and number, so that a resumed run goes on as it would.

An epoch draws one random positive slice for every 3D lesion, and half as many slices without a lesion (LENS VI-B, VI-D;
algorithms 8). Slices of rejected places have a share of their own: they come on top and never instead of lesion-free
ones. A batch holds slices of one data set only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import ProjectError
from lens_engine.findings import Box2D, Scope
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.labels import SlicePlace
from lens_training.recipes.recipe import SamplingRecipe


class SampleKind(StrEnum):
    """Why a slice was drawn."""

    LESION = "lesion"
    REJECTED = "rejected"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class SliceChoice:
    """One slice to learn from.

    Attributes
    ----------
    case
        Number within the training set.
    focus
        Box in series voxels that the sample must show; None for a slice without a lesion.
    """

    case: int
    slice_index: int
    kind: SampleKind
    focus: Box2D | None = None


@dataclass(frozen=True, slots=True)
class _Pool:
    """What can be drawn from one data set: places of lesions and rejections as (case, places)."""

    dataset: str
    lesions: tuple[tuple[int, tuple[SlicePlace, ...]], ...]
    rejected: tuple[tuple[int, tuple[SlicePlace, ...]], ...]
    free: NDArray[np.intp]  # (n, 2): case, slice

    @property
    def is_empty(self) -> bool:
        return not self.lesions and not self.rejected


class BatchPlan:
    """The batches of a run.

    Parameters
    ----------
    seed
        Equal seeds give equal batches.

    Raises
    ------
    ProjectError
        If the training set holds no label at all.
    """

    def __init__(self, training_set: TrainingSet, recipe: SamplingRecipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        pools = [_pool(training_set, name) for name in training_set.scopes]
        self._pools = [pool for pool in pools if not pool.is_empty]
        if not self._pools:
            raise ProjectError(
                f"None of the {len(training_set.cases)} scans of the training split has a lesion to learn from",
                "At least one annotation, mined lesion or decision in the training split is needed",
                "Import annotations, or review candidates, and freeze the labels again",
            )
        self._epoch = lru_cache(maxsize=2)(self._plan_epoch)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches show every 3D lesion once."""
        return len(self._epoch(0))

    @property
    def cases_in_use(self) -> tuple[int, ...]:
        """Numbers of the cases from which anything can be drawn, ascending."""
        used: set[int] = set()
        for pool in self._pools:
            used.update(case for case, _ in (*pool.lesions, *pool.rejected))
            used.update(int(case) for case in np.unique(pool.free[:, 0]))
        return tuple(sorted(used))

    def batch(self, number: int) -> tuple[SliceChoice, ...]:
        """Return the slices of a batch, `batch_size` of them, all of one data set."""
        epoch, place = divmod(number, self.batches_per_epoch)
        return self._epoch(epoch)[place]

    def _plan_epoch(self, epoch: int) -> tuple[tuple[SliceChoice, ...], ...]:
        generator = np.random.default_rng([self._seed, epoch])
        batches: list[tuple[SliceChoice, ...]] = []
        for pool in self._pools:
            batches.extend(_batches(self._draw(pool, generator), self._recipe.batch_size, generator))
        return tuple(batches[place] for place in generator.permutation(len(batches)))

    def _draw(self, pool: _Pool, generator: np.random.Generator) -> list[SliceChoice]:
        """Draw the slices of one data set for one epoch; their number is the same in every epoch."""
        lesions = [_choose(case, places, SampleKind.LESION, generator) for case, places in pool.lesions]
        rows = generator.permutation(len(pool.free))[: round(self._recipe.negatives_per_positive * len(lesions))]
        free = [SliceChoice(int(pool.free[row, 0]), int(pool.free[row, 1]), SampleKind.FREE) for row in rows]
        count = max(round(self._recipe.rejected_per_positive * len(lesions)), 1)
        places_of = [pool.rejected[number] for number in generator.permutation(len(pool.rejected))[:count]]
        rejected = [_choose(case, places, SampleKind.REJECTED, generator) for case, places in places_of]
        return lesions + free + rejected


def _pool(training_set: TrainingSet, dataset: str) -> _Pool:
    has_true_negatives = training_set.scopes[dataset] is Scope.SINGLE_TYPE or training_set.uses_unlabelled
    lesions, rejected, free = [], [], [np.zeros((0, 2), dtype=np.intp)]
    for number, case in enumerate(training_set.cases):
        if case.dataset != dataset:
            continue
        labels = case.labels
        lesions += [(number, places) for places in labels.lesion_places()]
        rejected += [(number, places) for places in labels.rejected_places()]
        if has_true_negatives:
            slices = labels.lesion_free_slices(case.geometry.shape[0])
            if case.unlabelled_slices is not None:
                slices = np.intersect1d(slices, np.asarray(case.unlabelled_slices, dtype=np.intp))
            free.append(np.stack([np.full_like(slices, number), slices], axis=1))
    return _Pool(dataset, tuple(lesions), tuple(rejected), np.concatenate(free))


def _choose(case: int, places: Sequence[SlicePlace], kind: SampleKind, generator: np.random.Generator) -> SliceChoice:
    slice_index, box = places[int(generator.integers(len(places)))]
    return SliceChoice(case, slice_index, kind, box)


def _batches(choices: list[SliceChoice], size: int, generator: np.random.Generator) -> list[tuple[SliceChoice, ...]]:
    """Shuffle the slices into full batches; the last one is filled up with slices drawn before."""
    shuffled = [choices[place] for place in generator.permutation(len(choices))]
    missing = -len(shuffled) % size
    shuffled += [choices[int(place)] for place in generator.integers(len(choices), size=missing)]
    return [tuple(shuffled[start : start + size]) for start in range(0, len(shuffled), size)]
