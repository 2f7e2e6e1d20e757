"""From the plan to tensors: nothing but its number decides a batch, whoever makes it.

The batches of a run are numbered. One process learns from one after another; of several, each takes its share of them.
"""

import multiprocessing
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lens_engine.detector.config import DetectorConfig
from lens_engine.detector.preprocess import SIZE_DIVISOR
from lens_engine.errors import ConfigError, GeometryError, LensError, SeriesError
from lens_training.datasets.case import TrainingSet
from lens_training.datasets.labels import SliceLabels
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.detector.augmentation import draw_variation
from lens_training.detector.planes import PlaneCache
from lens_training.detector.sampling import BatchPlan, SliceChoice
from lens_training.recipes.recipe import AugmentationRecipe
from lens_training.running.batch_numbers import BatchNumbers

_AUGMENTATION_STREAM = 1
"""Keeps the numbers drawn here apart from those of other parts with the same seed and batch."""


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
        Labels of each image, in its pixels.
    expert
        Number of the expert that learns.
    number
        Its place among all batches of the run.
    labels_elsewhere
        Labels of each image as they are for another expert, by its number: its lesions and rejected places teach it,
        and nothing else does. Experts without any in the whole batch are left out.
    """

    images: torch.Tensor
    sizes: tuple[tuple[int, int], ...]
    labels: tuple[SliceLabels, ...]
    expert: int
    number: int
    labels_elsewhere: Mapping[int, tuple[SliceLabels, ...]] = field(default_factory=dict)

    def labels_of(self, expert: int) -> tuple[SliceLabels, ...]:
        """Return the labels of each image for the expert that learns, or for one of `labels_elsewhere`."""
        return self.labels if expert == self.expert else self.labels_elsewhere[expert]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its images on a device."""
        return replace(self, images=self.images.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Return the batch with its images where a GPU can fetch them; data loaders ask for it by this name."""
        return replace(self, images=self.images.pin_memory())


@dataclass(frozen=True, slots=True, eq=False)
class BatchMaker:
    """Makes the batch of any number."""

    training_set: TrainingSet
    cache: PlaneCache
    plan: BatchPlan
    config: DetectorConfig
    augmentation: AugmentationRecipe
    seed: int
    unreadable: UnreadableScans = field(default_factory=UnreadableScans)

    def batch(self, number: int) -> Batch:
        """Return the batch of a number."""
        choices = self.plan.batch(number)
        generator = np.random.default_rng([self.seed, number, _AUGMENTATION_STREAM])
        dataset = self.training_set.cases[choices[0].case].dataset
        others = self._other_choices(number, dataset)
        samples = [self._readable_sample(choice, others, generator) for choice in choices]
        return Batch(
            images=_padded([sample.image for sample in samples]),
            sizes=tuple((sample.image.shape[1], sample.image.shape[2]) for sample in samples),
            labels=tuple(sample.labels for sample in samples),
            expert=self.config.experts.index(dataset),
            number=number,
            labels_elsewhere={
                expert: tuple(sample.labels_elsewhere[expert] for sample in samples)
                for expert in samples[0].labels_elsewhere
                if any(sample.labels_elsewhere[expert].is_certain_somewhere for sample in samples)
            },
        )

    def _other_choices(self, number: int, dataset: str) -> Iterator[SliceChoice]:
        """Yield what following batches show of a data set, an epoch for each sample that may be unreadable."""
        epochs = len(self.plan.batch(number))
        for following in range(number + 1, number + 1 + epochs * self.plan.batches_per_epoch):
            choices = self.plan.batch(following)
            if self.training_set.cases[choices[0].case].dataset == dataset:
                yield from choices

    def _readable_sample(
        self, choice: SliceChoice, others: Iterator[SliceChoice], generator: np.random.Generator
    ) -> "_Sample":
        for candidate in chain([choice], others):
            if candidate.case in self.unreadable:
                continue
            state = generator.bit_generator.state
            try:
                return self._sample(candidate, generator)
            except (SeriesError, GeometryError) as error:
                self.unreadable.add(candidate.case, self.training_set.cases[candidate.case].name, error)
            generator.bit_generator.state = state  # the batch is the same whether or not that was known before
        dataset = self.training_set.cases[choice.case].dataset
        raise SeriesError(f"No scan of {dataset} can be read", "Some of them are needed", "Copy the data set again")

    def _sample(self, choice: SliceChoice, generator: np.random.Generator) -> "_Sample":
        """Return one image and its labels; boxes whose centre lies outside the image are dropped."""
        planes = self.cache.planes(choice.case)
        variation = draw_variation(self.augmentation, planes, self.config, choice, generator)
        image = variation.mirrored(planes.image(variation.grid, variation.grid_index, self.config))
        labels = self.training_set.cases[choice.case].labels
        height, width = variation.grid.size

        def to_image(boxes: np.ndarray) -> np.ndarray:
            mapped = variation.to_image(boxes)
            centre = (mapped[:, :2] + mapped[:, 2:]) / 2
            inside = ((centre > 0) & (centre < (width, height))).all(axis=1)
            return np.clip(mapped[inside], 0, (width, height, width, height))

        return _Sample(
            image,
            labels.on_slice(choice.slice_index).transformed(to_image),
            {
                number: labels.for_expert(expert, choice.slice_index).transformed(to_image)
                for number, expert in enumerate(self.config.experts)
                if expert != labels.expert
            },
        )


class _Sample(NamedTuple):
    """One image (9, h, w) with its labels, and those for every other expert by its number."""

    image: torch.Tensor
    labels: SliceLabels
    labels_elsewhere: dict[int, SliceLabels]


class BatchDataset(Dataset[Batch | LensError]):
    """The batches by number; what is wrong with the data comes as a value, to survive the way out of a worker."""

    def __init__(self, maker: BatchMaker) -> None:
        self._maker = maker

    def __getitem__(self, number: int) -> Batch | LensError:
        try:
            return self._maker.batch(number)
        except LensError as error:
            return error


def batch_loader(maker: BatchMaker, numbers: range, workers: int) -> "DataLoader[Batch | LensError]":
    """Return the batches of these numbers in their order, made ahead by `workers` processes.

    Workers are forked when the first batch is asked for, and share what the maker's cache holds at that moment.

    Raises
    ------
    ConfigError
        If there are workers and the system cannot fork.
    """
    if workers and "fork" not in multiprocessing.get_all_start_methods():
        raise ConfigError(
            f"{workers} workers were asked for on a system that cannot fork processes",
            "Workers need Linux or macOS",
            "Set workers to 0",
        )
    return DataLoader(
        BatchDataset(maker),
        batch_size=None,
        sampler=BatchNumbers(numbers),
        num_workers=workers,
        multiprocessing_context="fork" if workers else None,
        worker_init_fn=_ignore_interrupts,
        pin_memory=torch.cuda.is_available(),
    )


def _ignore_interrupts(_worker: int) -> None:
    """Leave Ctrl+C to the process that learns; it ends the workers once its step is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _padded(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return images (9, h, w) as one tensor, each in the upper left corner of a size that fits all."""
    height, width = (-(-max(image.shape[axis] for image in images) // SIZE_DIVISOR) * SIZE_DIVISOR for axis in (1, 2))
    padded = torch.zeros(len(images), len(images[0]), height, width)
    for row, image in zip(padded, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return padded
