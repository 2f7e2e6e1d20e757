import math

import pytest
import torch

from lens_training.lesion_embedding.looks import Look
from lens_training.lesion_embedding.losses import (
    TermWeights,
    hard_example_loss,
    term_weights,
    triplet_loss,
    weighted_cross_entropy,
)


def looks_with(*terms: tuple[int, ...]) -> list[Look]:
    return [Look(slice_index=0, box=(0, 0, 1, 1), scan="a", lesion=str(n), terms=t) for n, t in enumerate(terms)]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def test_a_term_weighs_as_much_where_it_is_said_as_where_it_is_not():
    weights = term_weights(looks_with((0,), (0, 1), (0,), ()), 3, largest=300)
    assert weights.said.tolist() == pytest.approx([4 / 6, 2, 300])
    assert weights.unsaid.tolist() == pytest.approx([2, 4 / 6, 0.5])


def test_the_weight_of_a_rare_term_has_a_limit():
    assert term_weights(looks_with((0,), *[()] * 999), 1, largest=300).said.tolist() == [300]


def test_the_cross_entropy_is_the_weighted_mean_over_all_entries_and_uncertain_ones_count_nothing():
    logits = torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.1, -0.7]])
    targets = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    certain = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    weights = TermWeights(torch.tensor([2.0, 3, 4]), torch.tensor([0.5, 0.6, 0.7]))
    total = 0.0
    for row in range(2):
        for term in range(3):
            p = sigmoid(float(logits[row, term]))
            said = bool(targets[row, term])
            weight = float((weights.said if said else weights.unsaid)[term] * certain[row, term])
            total -= weight * math.log(p if said else 1 - p)
    assert float(weighted_cross_entropy(logits, targets, certain, weights)) == pytest.approx(total / 6, rel=1e-5)


def test_hard_entries_are_drawn_by_the_square_of_their_error_among_the_reliable_ones():
    logits = torch.tensor([[2.0, -1.0], [0.0, 5.0]])
    targets = torch.tensor([[0.0, 1], [1, 0]])
    reliable = torch.tensor([[1.0, 1], [1, 0]])
    shares, values = [], []
    for row, term in ((0, 0), (0, 1), (1, 0)):
        p, y = sigmoid(float(logits[row, term])), float(targets[row, term])
        shares.append((p - y) ** 2)
        values.append(-math.log(p if y else 1 - p))
    expected = sum(share * value for share, value in zip(shares, values, strict=True)) / sum(shares)
    loss = hard_example_loss(logits, targets, reliable, 200_000, torch.Generator().manual_seed(0))
    assert float(loss) == pytest.approx(expected, rel=0.01)


def test_without_a_reliable_entry_nothing_is_learnt_from_hard_ones():
    logits = torch.zeros(2, 2, requires_grad=True)
    hard_example_loss(logits, torch.zeros(2, 2), torch.zeros(2, 2), 10, torch.Generator()).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_triplet_costs_what_the_unlike_look_lies_too_near_by_the_plain_distance():
    angles = torch.tensor([0.0, 0.3, 0.35, 1.0])
    embedding = torch.stack([angles.cos(), angles.sin()], dim=1)
    triplets = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 3, 1]])

    def distance(one: int, other: int) -> float:
        return 2 * math.sin(abs(float(angles[one] - angles[other])) / 2)

    expected = [max(0.0, distance(a, p) - distance(a, n) + 0.1) for a, p, n in triplets.tolist()]
    assert expected[1] == 0
    assert float(triplet_loss(embedding, triplets, 0.1)) == pytest.approx(sum(expected) / 3, abs=1e-4)
