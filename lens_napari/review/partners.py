"""The marked lesion that a candidate is said to be: which one, where, how alike, and its scan to look at beside it."""

from dataclasses import dataclass, field
from datetime import date

from lens_engine.errors import LensError
from lens_engine.findings import Box3D, Candidate, Reason, Rule, SliceBox, middle_section
from lens_engine.geometry import VolumeGeometry
from lens_engine.store.catalog import SeriesRecord
from lens_engine.volume import Volume
from lens_engine.window_presets import Window, preset_for
from lens_napari.review.wording import Partner

LEAST_SIDE_MM = 60.0
CONTEXT = 2.5
"""Both pictures are this many times wider than the larger lesion, and at least so wide."""
PARTNER_RULES = (Rule.INTRA_PATIENT, Rule.CROSS_SLICE)
"""Rules that name a marked lesion, the one from another scan first."""
DAYS_OF_MONTH, DAYS_OF_YEAR = 30.4, 365.25
MOST_DAYS, MOST_MONTHS = 60, 24
"""Longer times are told in months, and in years."""


@dataclass(frozen=True, slots=True, eq=False)
class LesionToCompare:
    """A lesion with what is needed to look at it beside another one.

    Attributes
    ----------
    where
        Which scan it is in, in words.
    window
        Grey values that fit its region in its own scan.
    """

    where: str
    box: Box3D
    slices: tuple[SliceBox, ...]
    volume: Volume
    window: Window = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", preset_for(self.volume.voxels, self.box).value)

    @property
    def key_section(self) -> SliceBox:
        """The cross-section on which it is compared."""
        return middle_section(self.slices)

    @property
    def longest_mm(self) -> float:
        """The longer side of its box in the slice."""
        _, sy, sx = self.volume.geometry.spacing_mm
        return max((self.box[3] - self.box[0]) * sx, (self.box[4] - self.box[1]) * sy)


@dataclass(frozen=True, slots=True, eq=False)
class FoundPartner:
    """The partner of a candidate as the project knows it.

    Attributes
    ----------
    candidate_id
        Whose partner it is.
    partner
        What is said about it.
    lesion
        To look at; an error where its scan cannot be read.
    """

    candidate_id: int
    partner: Partner
    lesion: LesionToCompare | LensError


def partner_reason(candidate: Candidate) -> Reason | None:
    """Return the reason that names the marked lesion to look at, or None where there is none."""
    named = [
        reason for reason in candidate.reasons if reason.annotation_id is not None or reason.decision_id is not None
    ]
    ranked = (next((reason for reason in named if reason.rule is rule), None) for rule in PARTNER_RULES)
    return next((reason for reason in ranked if reason is not None), None)


def compared_side_mm(one: LesionToCompare, other: LesionToCompare) -> float:
    """Return how wide pictures are in which both lesions are seen with some context, in mm."""
    return max(LEAST_SIDE_MM, CONTEXT * max(one.longest_mm, other.longest_mm))


def apart(then: SeriesRecord, then_slice: int, now: SeriesRecord, now_slice: int) -> str:
    """Return how far a partner is from a candidate, in words: in time, or within one scan; empty where unknown."""
    if then.id == now.id:
        return _within_scan(then_slice - now_slice, now.geometry)
    if then.study_id == now.study_id:
        return "another series of this study"
    if then.study_date is None or now.study_date is None:
        return ""
    return _time_between(then.study_date, now.study_date)


def _within_scan(slices: int, geometry: VolumeGeometry | None) -> str:
    if geometry is None or slices == 0:
        return "in this scan" if geometry is None else "in this scan, on the same slice"
    towards = "feet" if slices > 0 else "head"
    return f"in this scan, {abs(slices) * geometry.spacing_mm[0]:.0f} mm nearer the {towards}"


def _time_between(then: date, now: date) -> str:
    days = (now - then).days
    if days == 0:
        return "the same day"
    return f"{_duration(abs(days))} {'before' if days > 0 else 'after'} this study"


def _duration(days: int) -> str:
    for unit, length, most in (("day", 1.0, MOST_DAYS), ("month", DAYS_OF_MONTH, MOST_MONTHS)):
        if days / length <= most:
            return _counted(round(days / length), unit)
    return _counted(round(days / DAYS_OF_YEAR), "year")


def _counted(number: int, unit: str) -> str:
    return f"1 {unit}" if number == 1 else f"{number} {unit}s"
