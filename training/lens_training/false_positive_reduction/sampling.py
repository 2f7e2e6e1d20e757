"""Which patches make up each batch: a pure function of seed and step, so that a resumed run goes on as it would.

An epoch shows every lesion once, every rejected place once, and as many false positives as the ratio asks for. Where
there are fewer of them, some are shown again.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import ProjectError
from lens_training.false_positive_reduction.samples import BACKGROUND_IOU, LESION_IOU, Meaning, Sample
from lens_training.recipes.false_positive_reduction import FprRecipe

_POOL_STREAM = 4
"""Keeps the numbers drawn here apart from those of the epochs with the same seed."""


class PatchPlan:
    """The batches of a run.

    Parameters
    ----------
    meanings
        What every sample means, in the order of the samples.
    seed
        Equal seeds give equal batches.

    Raises
    ------
    ProjectError
        If there is no lesion, or nothing to tell it from.
    """

    def __init__(self, meanings: Sequence[Meaning], recipe: FprRecipe, seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        kinds = np.asarray(meanings, dtype=object)
        self._lesions = np.flatnonzero(kinds == Meaning.LESION)
        self._rejected = np.flatnonzero(kinds == Meaning.REJECTED)
        self._others = np.flatnonzero(kinds == Meaning.FALSE_POSITIVE)
        require_both_classes(meanings)
        self._epoch = lru_cache(maxsize=2)(self._plan_epoch)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches show every lesion once."""
        return len(self._epoch(0))

    def steps_in(self, processes: int = 1) -> int:
        """Return how many steps the run has, when every process takes a batch of its own in each step."""
        return -(-self.recipe.epochs * self.batches_per_epoch // processes)

    def batch(self, number: int) -> NDArray[np.intp]:
        """Return the numbers of the samples of a batch, (batch_size,)."""
        epoch, place = divmod(number, self.batches_per_epoch)
        row: NDArray[np.intp] = self._epoch(epoch)[place]
        return row

    def _plan_epoch(self, epoch: int) -> NDArray[np.intp]:
        """Return all batches of an epoch, (batches, batch_size); the last one is filled up with samples seen before."""
        generator = np.random.default_rng([self.seed, epoch])
        negatives = self._draw_negatives(generator)
        drawn = generator.permutation(np.concatenate([self._lesions, negatives]))
        missing = -len(drawn) % self.recipe.batch_size
        return np.concatenate([drawn, generator.choice(drawn, missing)]).reshape(-1, self.recipe.batch_size)

    def _draw_negatives(self, generator: np.random.Generator) -> NDArray[np.intp]:
        wanted = max(wanted_negatives(len(self._lesions), self.recipe) - len(self._rejected), 0)
        others = generator.permutation(self._others)[:wanted]
        negatives = np.concatenate([self._rejected, others])
        again = wanted - len(others)
        return np.concatenate([negatives, generator.choice(negatives, again)])


def require_both_classes(meanings: Sequence[Meaning]) -> None:
    """Raise if there is no lesion among the samples, or no negative.

    Raises
    ------
    ProjectError
        If there is none; the message has the counts.
    """
    lesions = sum(meaning is Meaning.LESION for meaning in meanings)
    negatives = sum(meaning in {Meaning.FALSE_POSITIVE, Meaning.REJECTED} for meaning in meanings)
    if not lesions:
        raise ProjectError(
            f"None of the detector's findings on the training scans is a labelled lesion ({negatives} are false "
            "positives)",
            f"At least one must overlap an annotation by an IoU of more than {LESION_IOU}",
            "Train the detector for longer, lower min_score, or add annotations to the training split",
        )
    if not negatives:
        raise ProjectError(
            f"All {lesions} usable findings of the detector on the training scans are lesions",
            f"At least one false positive (IoU below {BACKGROUND_IOU} with every label) or rejected place is needed",
            "Lower min_score, or add training scans",
        )


def wanted_negatives(lesions: int, recipe: FprRecipe) -> int:
    """Return how many negatives an epoch shows beside that many lesions; at least one."""
    return max(round(recipe.negatives_per_positive * lesions), 1)


def pool_numbers(case: int, count: int, seed: int) -> NDArray[np.float64]:
    """Return a random number for each sample of a case; of too many false positives those with low ones stay."""
    return np.random.default_rng([seed, _POOL_STREAM, case]).random(count)


def without_surplus(samples: Sequence[Sample], recipe: FprRecipe, most: int, seed: int) -> tuple[Sample, ...]:
    """Return the samples, in their order, without those of `surplus`."""
    left_out = surplus(samples, recipe, most, seed)
    return tuple(sample for number, sample in enumerate(samples) if number not in left_out)


def surplus(samples: Sequence[Sample], recipe: FprRecipe, most: int, seed: int) -> frozenset[int]:
    """Return the numbers of the false positives that are too many; samples are ordered by case.

    Those are left out at random which the epochs cannot show, or which go beyond `most` samples.

    Raises
    ------
    ProjectError
        If `most` does not even hold the lesions, the rejected places and as many negatives as one epoch shows.
    """
    others = [number for number, sample in enumerate(samples) if sample.meaning is Meaning.FALSE_POSITIVE]
    lesions = sum(sample.meaning is Meaning.LESION for sample in samples)
    kept = len(samples) - len(others)
    in_epoch = wanted_negatives(lesions, recipe)
    room = most - kept
    if room < min(in_epoch, len(others)):
        raise ProjectError(
            f"The patches of {lesions} lesions, {kept - lesions} rejected places and the false positives of an epoch "
            f"are {kept + min(in_epoch, len(others))}, but patches_gib holds {most}",
            "All of them must fit",
            "Raise patches_gib of the recipe, or train on fewer scans",
        )
    of_cases = [(case, len(list(group))) for case, group in groupby(sample.case for sample in samples)]
    drawn = np.concatenate([np.zeros(0), *(pool_numbers(case, count, seed) for case, count in of_cases)])
    ranked = sorted(others, key=lambda number: float(drawn[number]))
    return frozenset(ranked[min(room, recipe.epochs * in_epoch) :])
