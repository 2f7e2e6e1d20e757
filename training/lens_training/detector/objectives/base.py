"""What every objective of a proposal network has in common, whatever the network predicts.

All follow one precedence (architecture 4.6): lesion over unsure over rejected over uncertain over background. An unsure
place teaches nothing at all, and neither does a lesion of another expert; an uncertain one is ignored wherever it would
be no negative if it were a lesion, which is its central half for an AFP (algorithms 4.1) and [our choice] what each
module says for the other kinds; a rejected place is a certain negative. Beside the image, in the padding of a batch,
nothing is learnt.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from lens_training.datasets.labels import SliceLabels

POSITIVE, NEGATIVE, IGNORED = 1, 0, -1
"""What a cell or an anchor is told."""


class ProposalObjective(ABC):
    """Losses of one kind of proposal network.

    Attributes
    ----------
    WEIGHTS
        Weight of each part of the loss, as published.
    """

    WEIGHTS: ClassVar[Mapping[str, float]]

    @abstractmethod
    def losses(
        self,
        outputs: Sequence[Tensor],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return the parts of the loss of a batch, unweighted, by the names and in the order of `WEIGHTS`.

        Parameters
        ----------
        outputs
            Raw maps (b, ..., h, w) of the network.
        labels
            Labels of each image, in its pixels.
        sizes
            (height, width) of each image without padding.
        generator
            Decides what is sampled, where not everything is learnt from.
        """

    @abstractmethod
    def certain_losses(
        self,
        outputs: Sequence[Tensor],
        images: Sequence[int],
        labels: Sequence[SliceLabels],
        sizes: Sequence[tuple[int, int]],
        generator: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Return what an expert learns from a batch of another data set: its lesions, and nothing at rejected places.

        Each place weighs what it would weigh for the expert that learns from the whole batch. Nothing is learnt
        elsewhere, nor where another expert's lesion or an unsure place lies on a rejected one.

        Parameters
        ----------
        outputs
            Raw maps (n, ..., h, w) of the network for some images of the batch.
        images
            Which ones, (n,).
        labels
            Of every image of the batch, as they are for the expert.
        sizes
            As in `losses`.
        generator
            As in `losses`.

        Returns
        -------
        dict
            Each loss by the name of the part to which it adds; where there is no lesion, none of boxes.
        """


def full_precision(values: Tensor) -> Tensor:
    """Return half-precision outputs of a network in 32 bits, in which every loss is computed; others as they are."""
    return values.float() if values.dtype in {torch.float16, torch.bfloat16} else values


def focal_terms(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return what a place costs if it is positive and if it is negative: focal loss with gamma 2, before any weight."""
    probability = logits.sigmoid()
    hit = -(1 - probability).square() * torch.nn.functional.logsigmoid(logits)
    miss = -probability.square() * torch.nn.functional.logsigmoid(-logits)
    return hit, miss
