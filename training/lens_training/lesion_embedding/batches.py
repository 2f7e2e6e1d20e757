"""Which looks make up each batch, and the batch as tensors: a pure function of seed and step.

An epoch shows every lesion once, with as many looks as the recipe says; the lesions that do not fill a batch are left
out until the next one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from lens_training.errors import TrainingError
from lens_training.lesion_embedding.labels import Ontology
from lens_training.lesion_embedding.likeness import likeness_of_lesions, likeness_of_terms
from lens_training.lesion_embedding.looks import Look
from lens_training.recipes.lesion_embedding import EmbeddingRecipe, Likeness

_LOOKS_STREAM = 6
_AUGMENTATION_STREAM = 7
"""Keep the numbers drawn here apart from each other's with the same seed and step."""


class LookBatch(NamedTuple):
    """Looks to learn from.

    Attributes
    ----------
    pixels
        float32 (b, 3, side, side).
    boxes
        float32 (b, 4), in pixels of the patch.
    said, is_certain, is_reliable
        float32 (b, terms), 0 or 1: which terms are said; those that are not uncertain; those that are said, and those
        that cannot hold beside them.
    likeness
        float32 (b, b).
    step
        The step that this batch belongs to.
    """

    pixels: Tensor
    boxes: Tensor
    said: Tensor
    is_certain: Tensor
    is_reliable: Tensor
    likeness: Tensor
    step: int


class LookPlan:
    """The batches of a run, as numbers of looks.

    Raises
    ------
    TrainingError
        If the lesions do not fill a batch.
    """

    def __init__(self, looks: Sequence[Look], recipe: EmbeddingRecipe, seed: int) -> None:
        self.recipe = recipe
        self.seed = seed
        self._scans = np.asarray([look.scan for look in looks])
        names: dict[str, list[int]] = {}
        for number, look in enumerate(looks):
            names.setdefault(look.lesion, []).append(number)
        self._lesions = [np.asarray(numbers) for numbers in names.values()]
        first = [looks[numbers[0]].location for numbers in names.values()]
        self._places = np.asarray([place or (0.0, 0.0, 0.0) for place in first])
        self._in_batch = recipe.batch_size // recipe.looks
        if len(self._lesions) < self._in_batch:
            raise TrainingError(
                f"The training scans show {len(self._lesions)} lesions",
                f"A batch has {self._in_batch} of them",
                "Lower batch_size of the recipe, or add training scans",
            )
        self._order = lru_cache(maxsize=2)(self._draw_order)

    @property
    def batches_per_epoch(self) -> int:
        """How many batches show every lesion once, but for those that do not fill one."""
        return len(self._lesions) // self._in_batch

    @property
    def steps(self) -> int:
        """How many steps the whole run has."""
        return self.recipe.epochs * self.batches_per_epoch

    def batch(self, step: int) -> NDArray[np.intp]:
        """Return the numbers of the looks of a step, (batch_size,)."""
        epoch, place = divmod(step, self.batches_per_epoch)
        chosen = self._order(epoch)[place * self._in_batch : (place + 1) * self._in_batch]
        generator = np.random.default_rng([self.seed, step, _LOOKS_STREAM])
        return np.concatenate([self._looks_at(self._lesions[lesion], generator) for lesion in chosen])

    def _draw_order(self, epoch: int) -> NDArray[np.intp]:
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(len(self._lesions))
        if not self.recipe.gathers:
            return order
        gathered = _gathered(order, self._places, self._in_batch, generator)
        whole = self.batches_per_epoch * self._in_batch
        batches = generator.permutation(gathered[:whole].reshape(-1, self._in_batch))
        return np.concatenate([batches.ravel(), gathered[whole:]])

    def _looks_at(self, numbers: NDArray[np.intp], generator: np.random.Generator) -> NDArray[np.intp]:
        """Draw looks at one lesion, each from another scan as long as there are any."""
        drawn: list[int] = []
        scans: list[str] = []
        for _ in range(self.recipe.looks):
            unseen = numbers[~np.isin(self._scans[numbers], scans)]
            drawn.append(int(generator.choice(unseen if len(unseen) else numbers)))
            scans.append(str(self._scans[drawn[-1]]))
        return np.asarray(drawn, dtype=np.intp)


class LookBatches(Dataset[LookBatch]):
    """The batches of a run, by step.

    Parameters
    ----------
    records
        The patches, one for each look, as `open_patches` returns them.
    plan
        Which of the same looks make up each batch.
    """

    def __init__(self, records: NDArray[np.void], looks: Sequence[Look], ontology: Ontology, plan: LookPlan) -> None:
        self._records, self._looks, self._ontology, self._plan = records, looks, ontology, plan

    def __getitem__(self, step: int) -> LookBatch:
        rows = self._plan.batch(step)
        recipe = self._plan.recipe
        generator = np.random.default_rng([self._plan.seed, step, _AUGMENTATION_STREAM])
        looks = [self._looks[row] for row in rows]
        patches = [_varied(self._records[row], recipe, generator) for row in rows]
        said, is_certain, is_reliable = self._ontology.targets(looks)
        is_by_terms = recipe.likeness is Likeness.TERMS
        return LookBatch(
            pixels=torch.from_numpy(np.stack([pixels for pixels, _ in patches])),
            boxes=torch.from_numpy(np.stack([box for _, box in patches])),
            said=said,
            is_certain=is_certain,
            is_reliable=is_reliable,
            likeness=likeness_of_terms(said) if is_by_terms else torch.from_numpy(likeness_of_lesions(looks)),
            step=step,
        )


def _gathered(
    numbers: NDArray[np.intp], places: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.intp]:
    """Return the numbers so that those of near places follow each other, in groups of about `size`."""
    if len(numbers) <= size:
        return numbers
    axis = int(generator.integers(places.shape[1]))
    ordered = numbers[np.argsort(places[numbers, axis], kind="stable")]
    # Whole groups on the lower side, so that a batch is not made of the ends of two.
    middle = max(len(ordered) // 2 // size, 1) * size
    halves = (ordered[:middle], ordered[middle:])
    return np.concatenate([_gathered(half, places, size, generator) for half in halves])


def _varied(
    record: np.void, recipe: EmbeddingRecipe, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pixels and box moved as the recipe allows; what a move uncovers repeats the outermost pixels."""
    pixels, box = record["pixels"].astype(np.float32), record["box"].copy()
    if recipe.shift:
        side = pixels.shape[1]
        steps = generator.integers(-recipe.shift, recipe.shift + 1, 2)
        rows, columns = (np.clip(np.arange(side) - step, 0, side - 1) for step in steps)
        pixels = pixels[:, rows[:, None], columns]
        box += np.tile(steps[::-1], 2).astype(np.float32)
    if recipe.box_jitter:
        sides = np.tile(box[2:] - box[:2], 2)
        box += generator.uniform(-recipe.box_jitter, recipe.box_jitter, 4).astype(np.float32) * sides
    if recipe.noise:
        pixels += generator.normal(0, recipe.noise, pixels.shape).astype(np.float32)
        pixels += np.float32(generator.normal(0, recipe.noise))
    return pixels, np.maximum(box, 0)
