import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.training.fpr_findings import CONFIG, RECIPE
from torch.nn import functional

from lens_training.errors import TrainingError
from lens_training.false_positive_reduction.fit import new_network
from lens_training.false_positive_reduction.module import FprTraining, PatchBatch, focal_loss

logits = st.lists(st.floats(-12, 12, width=32), min_size=1, max_size=8)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@given(logits, st.integers(0, 255))
def test_without_focus_the_loss_is_half_the_cross_entropy(values, classes):
    scores = torch.tensor(values, dtype=torch.float64)
    is_lesion = torch.tensor([bool(classes >> k & 1) for k in range(len(values))])
    expected = functional.binary_cross_entropy_with_logits(scores, is_lesion.double()) / 2
    assert torch.isclose(focal_loss(scores, is_lesion, 0.5, 0.0), expected)


@given(logits)
def test_the_loss_is_that_of_its_formula(values):
    scores = torch.tensor(values, dtype=torch.float64)
    found = focal_loss(scores, torch.ones(len(values), dtype=torch.bool), 0.25, 2.0)
    p = 1 / (1 + np.exp(-np.asarray(values, dtype=np.float64)))
    assert float(found) == pytest.approx(float((-0.25 * (1 - p) ** 2 * np.log(p)).mean()), rel=1e-6, abs=1e-12)


def test_an_extreme_answer_has_a_finite_loss_and_gradient():
    scores = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = focal_loss(scores, torch.tensor([False, True]), 0.5, 2.0)
    loss.backward()
    assert math.isfinite(float(loss.detach()))
    assert scores.grad is not None
    assert bool(torch.isfinite(scores.grad).all())


def bright_and_dark_patches() -> PatchBatch:
    """Make eight patches that differ in the brightness under the box only."""
    generator = torch.Generator().manual_seed(0)
    voxels = torch.randn(8, 1, *CONFIG.patch, generator=generator) * 10
    is_lesion = torch.arange(8) % 2 == 0
    voxels[is_lesion, :, 1:3, 12:20, 12:20] += 60
    boxes = torch.tensor([[12.0, 12, 1, 20, 20, 3]]).repeat(8, 1)
    return PatchBatch(voxels.half(), boxes, is_lesion, 0)


def test_the_network_overfits_eight_patches():
    batch, steps = bright_and_dark_patches(), 40
    training = FprTraining(new_network(CONFIG, 0), RECIPE, steps).train()
    optimiser = training.configure_optimizers()["optimizer"]
    losses = []
    for step in range(steps):
        optimiser.zero_grad()
        loss = training.training_step(batch, step)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.05 * losses[0]
    training.network.eval()
    right = (training.network(batch.voxels.float(), batch.boxes) > 0) == batch.is_lesion
    assert bool(right.all())


def test_every_parameter_learns():
    training = FprTraining(new_network(CONFIG, 0), RECIPE, 10).train()
    training.training_step(bright_and_dark_patches(), 0).backward()
    silent = [name for name, p in training.network.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert silent == []


def test_a_loss_that_is_not_finite_ends_the_training():
    batch = bright_and_dark_patches()
    batch.voxels[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(TrainingError, match="batch 0 is nan"):
        FprTraining(new_network(CONFIG, 0), RECIPE, 10).train().training_step(batch, 0)


def test_equal_seeds_give_equal_networks():
    one, same, other = (new_network(CONFIG, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])
