"""One step of training a lesion embedding: terms, hard terms, triplets and propagated terms (algorithms 5.8)."""

from collections.abc import Mapping

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_training.errors import TrainingError
from lens_training.lesion_embedding.batches import LookBatch
from lens_training.lesion_embedding.likeness import draw_triplets
from lens_training.lesion_embedding.losses import (
    TermWeights,
    hard_example_loss,
    triplet_loss,
    weighted_cross_entropy,
)
from lens_training.recipes.lesion_embedding import EmbeddingRecipe
from lens_training.running.optimiser import sgd
from lens_training.running.processes.joint import JointTraining

_TRIPLET_STREAM = 8
"""Keeps the numbers drawn here apart from those of the batches with the same seed and step."""


class EmbeddingTraining(JointTraining[LookBatch]):
    """A lesion embedding network with its loss and optimiser.

    Parameters
    ----------
    weights
        Of the terms in the cross-entropy.
    seed
        Of what is drawn from each batch.
    steps
        How many steps the whole run has; the learning rate follows them.
    """

    samples_name = "patches"

    def __init__(
        self, network: EmbeddingNetwork, recipe: EmbeddingRecipe, weights: TermWeights, seed: int, steps: int
    ) -> None:
        super().__init__(recipe.schedule, recipe.precision, steps)
        self.network = network
        self._recipe, self._term_weights, self._seed = recipe, weights, seed

    def losses(self, batch: LookBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss of a batch, and its parts."""
        recipe = self._recipe
        drawn_from = np.random.SeedSequence([self._seed, batch.step, _TRIPLET_STREAM]).generate_state(1)
        generator = torch.Generator().manual_seed(int(drawn_from[0]))
        look = self.network(batch.pixels, batch.boxes)
        chances = None
        if recipe.nearness is not None:
            chances = torch.exp(-torch.cdist(look.embedding.detach(), look.embedding.detach()) / recipe.nearness).cpu()
        triplets = draw_triplets(batch.likeness.cpu(), recipe.triplets, generator, chances).to(look.embedding.device)
        about_terms = {
            "terms": weighted_cross_entropy(look.scores, batch.said, batch.is_certain, self._term_weights),
            "hard terms": hard_example_loss(look.scores, batch.said, batch.is_reliable, recipe.hard_entries, generator),
            "propagated terms": weighted_cross_entropy(
                look.propagated, batch.said, batch.is_certain, self._term_weights
            ),
        }
        parts = {name: recipe.terms_weight * loss for name, loss in about_terms.items()}
        parts["triplets"] = recipe.triplet_weight * triplet_loss(look.embedding, triplets, recipe.margin)
        return torch.stack(list(parts.values())).sum(), parts

    def samples_in(self, batch: LookBatch) -> int:
        """Return how many patches a batch has."""
        return len(batch.pixels)

    def latest_loss_of(self, batch: LookBatch) -> str:
        """Return the step of the batch and its loss."""
        return f"step {batch.step} is {self.latest['loss']}"

    def memory_error(self) -> TrainingError:
        """Return what to say when a step does not fit into the memory of the GPU."""
        return TrainingError(
            "The memory of the GPU is too small for a step of the lesion embedding",
            f"A batch has {self._recipe.batch_size} patches",
            "Lower batch_size of the recipe, or set precision to bf16-mixed",
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Stochastic gradient descent, as LesaNet was trained."""
        return sgd(self, self._schedule, self._steps, self._recipe.momentum)
