"""Whether colours of the viewer can be told apart, with every kind of colour blindness."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

from lens_napari.review.box_table import BoxState
from lens_napari.review.wording import MARK_OF_STATE
from lens_napari.viewer.layers import (
    ASKED_PIXELS,
    COLOUR_OF_OUTCOME,
    COLOUR_OF_STATE,
    MARK_OF_OUTCOME,
    OTHER_PIXELS,
)
from lens_napari.viewer.palette import (
    ANNOTATION_COLOUR,
    BAD,
    CANDIDATE_COLOUR,
    EXPERT_COLOURS,
    FALSE,
    FUSED_COLOUR,
    GOOD,
    MISSED,
    READER_COLOURS,
    TRUE,
    UNDECIDED,
)

# Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
SHIPPED_EXPERTS = EXPERT_COLOURS[:4]
PLAIN_COLOURS = (*SHIPPED_EXPERTS, FUSED_COLOUR, ANNOTATION_COLOUR, CANDIDATE_COLOUR)
VERDICTS = (GOOD, BAD, UNDECIDED)
COMPARED_COLOURS = (TRUE, FALSE, MISSED, ANNOTATION_COLOUR, CANDIDATE_COLOUR)
SURELY_APART, APART = 15.0, 8.0
"""Least CIEDE2000 distances; 2 is what a trained eye just sees side by side."""


def seen(colour: str, sight: str) -> NDArray[np.float64]:
    """Return the CIE Lab value of a colour as somebody with this sight sees it."""
    encoded = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    perceived = np.clip(SIGHTS[sight] @ linear, 0, 1)
    shown = np.where(perceived <= 0.0031308, perceived * 12.92, 1.055 * perceived ** (1 / 2.4) - 0.055)
    return np.asarray(rgb2lab(shown))


def least_distance(one: str, other: str) -> float:
    return min(float(deltaE_ciede2000(seen(one, sight), seen(other, sight))) for sight in SIGHTS)


def test_the_simulation_confuses_red_and_green_but_not_blue_and_yellow() -> None:
    def distance(one: str, other: str, sight: str) -> float:
        return float(deltaE_ciede2000(seen(one, sight), seen(other, sight)))

    assert distance("#B06060", "#708A40", "normal") > 3 * distance("#B06060", "#708A40", "deuteranopia")
    assert distance("#3060FF", "#FFD000", "protanopia") > 40


@pytest.mark.parametrize(("one", "other"), list(combinations(PLAIN_COLOURS, 2)))
def test_boxes_without_a_verdict_are_told_apart_by_colour_alone(one: str, other: str) -> None:
    assert least_distance(one, other) >= SURELY_APART


@pytest.mark.parametrize(
    ("one", "other"), list(combinations((*READER_COLOURS, ANNOTATION_COLOUR, CANDIDATE_COLOUR), 2))
)
def test_boxes_of_two_readers_are_told_apart(one: str, other: str) -> None:
    assert least_distance(one, other) >= SURELY_APART


@pytest.mark.parametrize(("one", "other"), list(combinations(EXPERT_COLOURS, 2)))
def test_further_experts_are_told_apart_by_colour(one: str, other: str) -> None:
    assert least_distance(one, other) >= APART


def test_no_expert_has_the_colour_of_a_verdict() -> None:
    assert not set(VERDICTS) & {*EXPERT_COLOURS, FUSED_COLOUR, ANNOTATION_COLOUR, CANDIDATE_COLOUR}


@pytest.mark.parametrize(("one", "other"), list(combinations(VERDICTS, 2)))
def test_verdicts_are_told_apart_by_colour_too(one: str, other: str) -> None:
    assert least_distance(one, other) >= APART


def test_decided_boxes_differ_from_all_others_and_from_each_other_by_their_mark() -> None:
    marks = [MARK_OF_STATE.get(state, "") for state in COLOUR_OF_STATE]
    assert all(marks)
    assert len(set(marks)) == len(marks)
    assert not any(state in MARK_OF_STATE for state in (BoxState.PLAIN, BoxState.ASKED))


@pytest.mark.parametrize(("one", "other"), list(combinations(COMPARED_COLOURS, 2)))
def test_true_false_and_missed_are_told_apart_from_each_other_and_from_what_is_drawn_beside_them(
    one: str, other: str
) -> None:
    assert least_distance(one, other) >= SURELY_APART


def test_true_false_and_missed_differ_by_their_mark_too() -> None:
    marks = [*MARK_OF_OUTCOME.values(), *MARK_OF_STATE.values()]
    assert set(MARK_OF_OUTCOME) == set(COLOUR_OF_OUTCOME)
    assert len(set(marks)) == len(marks)


def test_the_lesion_asked_about_differs_from_waiting_ones_by_its_width() -> None:
    assert ASKED_PIXELS >= 3 * OTHER_PIXELS
