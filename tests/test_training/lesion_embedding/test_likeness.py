import itertools

import numpy as np
import pytest
import torch

from lens_training.lesion_embedding.likeness import draw_triplets, likeness_of_lesions, likeness_of_terms
from lens_training.lesion_embedding.looks import Look


def look(lesion: str, term: int | None = None, place: tuple[float, float, float] | None = None) -> Look:
    terms = () if term is None else (term,)
    return Look(slice_index=0, box=(0, 0, 1, 1), scan="a", lesion=lesion, terms=terms, location=place)


def drawn(likeness: torch.Tensor, count: int = 4000) -> torch.Tensor:
    return draw_triplets(likeness, count, torch.Generator().manual_seed(0))


def test_lesions_are_as_alike_as_they_share_terms_times_their_jaccard_index():
    terms = torch.tensor([[1.0, 1, 1, 0], [0, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    sets = [set(np.flatnonzero(row).tolist()) for row in terms.numpy()]
    for one, other in itertools.product(range(5), repeat=2):
        shared, either = len(sets[one] & sets[other]), len(sets[one] | sets[other])
        expected = shared * shared / either if either else 0.0
        assert likeness_of_terms(terms)[one, other] == pytest.approx(expected)


def test_without_terms_one_lesion_is_more_alike_than_type_and_place_together():
    place = (0.4, 0.5, 0.6)
    looks = [look("a", 1, place), look("a", None, (0.9, 0.9, 0.9)), look("b", 1, place), look("c", 2, place), look("d")]
    alike = likeness_of_lesions(looks)
    assert alike[0].tolist() == pytest.approx([1.0, 1.0, 0.8, 0.4, 0.0])
    assert alike[4].tolist() == pytest.approx([0, 0, 0, 0, 1])
    np.testing.assert_array_equal(alike, alike.T)


def test_a_partner_is_any_look_that_is_alike_enough_and_the_third_one_is_less_alike():
    likeness = torch.tensor([[9, 1.0, 2, 0.5, 0], [1, 9, 0, 0, 0], [2, 0, 9, 0, 0], [0.5, 0, 0, 9, 0], [0, 0, 0, 0, 9]])
    of_first = [tuple(row) for row in drawn(likeness).tolist() if row[0] == 0]
    # Partner 1 leaves only 3 and 4 as less alike, partner 2 also leaves 1.
    assert set(of_first) == {(0, 1, 3), (0, 1, 4), (0, 2, 1), (0, 2, 3), (0, 2, 4)}


def test_without_any_that_is_alike_enough_the_most_alike_is_the_partner():
    likeness = torch.tensor([[9, 0.3, 0.5, 0.5], [0.3, 9, 0, 0], [0.5, 0, 9, 0], [0.5, 0, 0, 9.0]])
    assert {tuple(row) for row in drawn(likeness).tolist() if row[0] == 0} == {(0, 2, 1), (0, 3, 1)}


def test_where_all_are_equally_alike_the_third_is_one_of_the_least_alike_and_never_the_anchor():
    triplets = drawn(torch.zeros(4, 4))
    assert bool((triplets[:, 0] != triplets[:, 1]).all())
    assert bool((triplets[:, 0] != triplets[:, 2]).all())


def test_every_look_becomes_an_anchor_and_equal_seeds_draw_equal_triplets():
    likeness = torch.rand(8, 8, generator=torch.Generator().manual_seed(1))
    assert set(drawn(likeness)[:, 0].tolist()) == set(range(8))
    assert torch.equal(drawn(likeness), drawn(likeness))
