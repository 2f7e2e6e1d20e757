"""Colours of the viewer: readable on grey CT, also with red-green blindness."""

from collections.abc import Sequence

from lens_engine.findings import FUSED

EXPERT_COLOURS = (
    "#56B4E9",
    "#E69F00",
    "#2FBF8F",
    "#CC79A7",
    "#D55E00",
    "#8DA0FF",
    "#B5A642",
    "#A6CEE3",
    "#FB9A99",
    "#B2DF8A",
)
"""The experts take them in their order; the first four are those of the shipped model."""

FUSED_COLOUR = "#F0E442"
ANNOTATION_COLOUR = "#FFFFFF"
CANDIDATE_COLOUR = "#FF9DA7"
"""Candidates that wait have it; the one asked about keeps it and is drawn thick."""

GOOD, BAD, UNDECIDED, MUTED = "#2FBF8F", "#E8745A", "#E6C15A", "#A8ADB6"


def expert_colours(experts: Sequence[str]) -> dict[str, str]:
    """Give every expert its colour by position, and the fusion its own."""
    named = [expert for expert in experts if expert != FUSED]
    colours = {expert: EXPERT_COLOURS[i % len(EXPERT_COLOURS)] for i, expert in enumerate(named)}
    colours[FUSED] = FUSED_COLOUR
    return colours
