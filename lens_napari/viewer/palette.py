"""Colours of the viewer: readable on grey CT, and told apart with every kind of colour blindness."""

from collections.abc import Sequence

from lens_engine.findings import FUSED

EXPERT_COLOURS = (
    "#96D2FF",
    "#D27800",
    "#3CA587",
    "#A578D2",
    "#FF99B3",
    "#B3B366",
    "#FF00B3",
    "#B3CC1A",
    "#FF1A66",
    "#B399FF",
)
"""The experts take them in their order; the first four are those of the shipped model."""

FUSED_COLOUR = "#F0D2A5"
ANNOTATION_COLOUR = "#FFFFFF"
CANDIDATE_COLOUR = "#C3FF00"
"""Candidates that wait have it; the one asked about keeps it and is drawn thick."""

READER_COLOURS = EXPERT_COLOURS[:2]
"""Of the two readers whose readings of the test set are compared; no expert's boxes are shown there."""

GOOD, BAD, UNDECIDED, MUTED = "#61D173", "#FF3B6B", "#FFC93C", "#A8ADB6"
"""The first three are the verdicts, on boxes, buttons and in the worklist; no expert has them."""

TRUE, FALSE, MISSED = "#00C8C8", "#FF8040", "#D95CFF"
"""What a box is by the truth; while boxes are compared with it, no box has the colour of an expert."""


def expert_colours(experts: Sequence[str]) -> dict[str, str]:
    """Give every expert its colour by position, and the fusion its own."""
    named = [expert for expert in experts if expert != FUSED]
    colours = {expert: EXPERT_COLOURS[i % len(EXPERT_COLOURS)] for i, expert in enumerate(named)}
    colours[FUSED] = FUSED_COLOUR
    return colours
