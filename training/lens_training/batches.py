"""From the plan to tensors: the batch of a step, and nothing but the step decides it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset

from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.preprocess import SIZE_DIVISOR
from lens_training.augmentation import apply_variation, draw_variation
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.planes import PlaneCache
from lens_training.labels import SliceLabels
from lens_training.recipe import AugmentationRecipe
from lens_training.sampling import BatchPlan, SliceChoice

_AUGMENTATION_STREAM = 1
"""Keeps the numbers drawn here apart from those of other parts with the same seed and step."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Samples of one data set.

    Attributes
    ----------
    images
        float32 (b, 9, h, w), padded with 0 on the right and at the bottom.
    sizes
        (height, width) of each image without padding.
    labels
        Of each image, in its pixels.
    expert
        Number of the expert that learns.
    step
        The step that this batch belongs to.
    """

    images: torch.Tensor
    sizes: tuple[tuple[int, int], ...]
    labels: tuple[SliceLabels, ...]
    expert: int
    step: int

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its images on a device."""
        return Batch(self.images.to(device), self.sizes, self.labels, self.expert, self.step)


@dataclass(frozen=True, slots=True, eq=False)
class BatchMaker:
    """Makes the batch of any step."""

    training_set: TrainingSet
    cache: PlaneCache
    plan: BatchPlan
    config: DetectorConfig
    augmentation: AugmentationRecipe
    seed: int

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        choices = self.plan.batch(step)
        generator = np.random.default_rng([self.seed, step, _AUGMENTATION_STREAM])
        samples = [self._sample(choice, generator) for choice in choices]
        images = [image for image, _ in samples]
        height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
        padded = [_padded(image, _round_up(height), _round_up(width)) for image in images]
        dataset = self.training_set.cases[choices[0].case].dataset
        return Batch(
            images=torch.stack(padded),
            sizes=tuple((image.shape[1], image.shape[2]) for image in images),
            labels=tuple(labels for _, labels in samples),
            expert=self.config.experts.index(dataset),
            step=step,
        )

    def _sample(self, choice: SliceChoice, generator: np.random.Generator) -> tuple[torch.Tensor, SliceLabels]:
        """Return one image (9, h, w) and its labels; boxes whose centre lies outside the image are dropped."""
        planes = self.cache.planes(choice.case)
        focus = None if choice.focus is None else planes.grid.to_network(np.asarray([choice.focus]))[0]
        variation = draw_variation(self.augmentation, planes.grid.size, focus, generator)
        image = apply_variation(planes, choice.slice_index, variation, self.config)
        labels = self.training_set.cases[choice.case].labels.on_slice(choice.slice_index)
        height, width = image.shape[1], image.shape[2]

        def to_image(boxes: np.ndarray) -> np.ndarray:
            mapped = variation.to_input(planes.grid.to_network(boxes))
            centre = (mapped[:, :2] + mapped[:, 2:]) / 2
            inside = ((centre > 0) & (centre < (width, height))).all(axis=1)
            return np.clip(mapped[inside], 0, (width, height, width, height))

        return image, labels.transformed(to_image)


class BatchStream(IterableDataset[Batch]):
    """The batches from one step to another."""

    def __init__(self, maker: BatchMaker, first_step: int, steps: int) -> None:
        self._maker = maker
        self._first_step = first_step
        self._steps = steps

    def __iter__(self) -> Iterator[Batch]:
        for step in range(self._first_step, self._steps):
            yield self._maker.batch(step)


def _round_up(length: int) -> int:
    return -(-length // SIZE_DIVISOR) * SIZE_DIVISOR


def _padded(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return functional.pad(image, (0, width - image.shape[2], 0, height - image.shape[1]))
