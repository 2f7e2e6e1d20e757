"""Intra-patient matching on embeddings: other series only, the nearest annotation, below the limit (algorithms 5.2)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.mining_cases import look_alike

from lens_engine.errors import BoxError
from lens_engine.mining.rules.intra_patient import KnownLesions, embedding_distances, match_lesions


def looks(*degrees: float | None) -> np.ndarray:
    return np.asarray([look_alike(angle) for angle in degrees], dtype=np.float64).reshape(-1, 2)


def test_a_finding_is_matched_to_its_nearest_annotation_of_another_series() -> None:
    known = KnownLesions.gather([(10, 1, look_alike(0)), (11, 2, look_alike(5)), (12, 3, look_alike(6))])
    (match,) = match_lesions(looks(4), 1, known, 0.15)
    assert match.annotation_id == 11
    assert match.distance == pytest.approx(2 * math.sin(math.radians(0.5)), abs=1e-6)


def test_an_annotation_of_the_same_series_is_no_partner() -> None:
    known = KnownLesions.gather([(10, 1, look_alike(0))])
    assert match_lesions(looks(0), 1, known, 0.15) == []
    assert len(match_lesions(looks(0), 2, known, 0.15)) == 1


def test_a_distance_at_the_limit_is_no_match_and_a_limit_of_zero_matches_nothing() -> None:
    known = KnownLesions.gather([(10, 1, look_alike(0))])
    distance = float(embedding_distances(looks(30), looks(0))[0, 0])
    assert match_lesions(looks(30), 2, known, distance) == []
    assert len(match_lesions(looks(30), 2, known, distance + 1e-9)) == 1
    assert match_lesions(looks(0), 2, known, 0.0) == []


def test_what_was_not_embedded_matches_nothing() -> None:
    known = KnownLesions.gather([(10, 1, look_alike(None)), (11, 1, look_alike(0))])
    assert [match.row for match in match_lesions(looks(None, 0), 2, known, 2.1)] == [1]
    assert match_lesions(looks(0), 2, KnownLesions.gather([]), 0.15) == []
    assert match_lesions(looks(), 2, known, 0.15) == []


@given(st.lists(st.floats(0, 360), max_size=5), st.lists(st.floats(0, 360), max_size=5))
def test_distances_are_those_of_the_vectors(one: list[float], other: list[float]) -> None:
    a, b = looks(*one), looks(*other)
    distances = embedding_distances(a, b)
    assert ((distances >= 0) & (distances <= 2)).all()
    assert np.allclose(distances, np.linalg.norm(a[:, None] - b[None], axis=-1), atol=1e-3)


def test_embeddings_of_two_models_are_not_compared() -> None:
    with pytest.raises(BoxError, match="length 3 and 2"):
        embedding_distances(np.ones((1, 3)), np.ones((1, 2)))
