"""What an embedding is worth in mining: matches on phantom patients of whose lesions a share was not marked.

A match is right if it lies at a lesion, by the rule of `mining.reports.accuracy`. Wanted are the lesions that nobody
marked in a scan and somebody marked in another one of the patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lens_engine.checkpoint_card import MeasuredLimit
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval
from lens_engine.evaluation.report import MeasuredValue
from lens_engine.findings import Box2D, Rule, SliceBox
from lens_engine.lesion_embedding.embedding import embed_lesions
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.mining.calibration import CalibratedLimit, calibrate_distance_limit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.looks import ComparedBoxes, SeriesLesions, compared_rows, embed_series
from lens_engine.mining.reports.accuracy import lies_at_lesions
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets
from lens_engine.phantom.patient import UNIVERSAL, PhantomPatient, PhantomSeries, PhantomSettings, make_patient
from lens_engine.proposals import Proposals
from lens_engine.volume import Volume
from lens_training.datasets.labels import TIGHT_BOX_MARGIN_VOXELS

Embed = Callable[[Volume, Sequence[tuple[float, Box2D]]], NDArray[np.float32]]
"""Returns unit vectors, one for each box on a slice."""

ROUNDS = 1000
SEED = 20180
"""Of the bootstrap: the same matches give the same intervals."""


class MatchReport(BaseModel):
    """How often matches are right, and how much of what was wanted they find.

    Attributes
    ----------
    matches, right
        Matches in all, and those that lie at a lesion.
    right_partners
        Those of the right ones whose partner is the same lesion.
    wanted, reached
        Unmarked lesions with a marked twin, and those that a match lies at.
    seen
        Those of the wanted ones that the detector sees at all: the most that could be reached.
    limit, limit_note
        The distance that was used, and what is said about it.
    comparisons
        Comparisons with wrong patients that it was calibrated with; 0 where there were too few, so that it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: int
    matches: int
    right: int
    right_partners: int
    wanted: int
    reached: int
    seen: int
    precision: MeasuredValue
    recall: MeasuredValue
    limit: float
    limit_note: str
    comparisons: int

    def limit_measured_on(self, whose: str) -> MeasuredLimit | None:
        """Return what a card says of the limit, and on whose lesions it was found; None where it was not calibrated."""
        if not self.comparisons:
            return None
        return MeasuredLimit(
            value=self.limit,
            comparisons=self.comparisons,
            measured_on=whose,
            precision=self.precision.value,
            recall=self.recall.value,
        )

    @property
    def metrics(self) -> dict[str, float]:
        """What a card says of it, by name."""
        measured = {"match precision": self.precision, "match recall": self.recall}
        found = {
            f"{name}{end}": value
            for name, interval in measured.items()
            for end, value in (("", interval.value), (" low", interval.low), (" high", interval.high))
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def text(self) -> str:
        """The report for people."""
        return (
            f"{self.patients} patients, {self.matches} matches, {self.right} right ({self.right_partners} with the "
            f"right partner), {self.reached} of {self.wanted} unmarked lesions with a marked twin found "
            f"({self.seen} are seen by the detector)\n"
            f"precision {self.precision.in_percent} %, recall {self.recall.in_percent} %\n{self.limit_note}\n"
        )


@dataclass(frozen=True, slots=True)
class _Counts:
    """Of one patient."""

    matches: int = 0
    right: int = 0
    right_partners: int = 0
    wanted: int = 0
    reached: int = 0
    seen: int = 0


def measure_on_phantoms(
    network: EmbeddingNetwork, detector: LensDetector, seeds: Sequence[int], withheld_share: float, studies: int
) -> MatchReport:
    """Make patients, detect in all their scans, and measure the matches; see `measure_matches`."""
    settings = PhantomSettings(studies=studies, withheld_share=withheld_share)
    patients = [make_patient(seed, UNIVERSAL, settings) for seed in seeds]
    looking = InferenceDetector(detector)
    found = [[detect_with(looking, series.volume).proposals for series in patient.series] for patient in patients]
    return measure_matches(patients, found, partial(embed_lesions, network))


def measure_matches(
    patients: Sequence[PhantomPatient],
    found: Sequence[Sequence[Proposals]],
    embed: Embed,
    settings: MiningSettings | None = None,
) -> MatchReport:
    """Embed, calibrate the limit on these patients as a project does, match, and compare with the truth.

    Parameters
    ----------
    found
        What a detector says about each series of each patient.
    """
    settings = settings or MiningSettings()
    inputs = [
        _inputs(number, patient, proposals, embed, settings)
        for number, (patient, proposals) in enumerate(zip(patients, found, strict=True))
    ]
    limit = calibrate_distance_limit((series for of_patient in inputs for series in of_patient), settings)
    counts = [
        _counts(patient, of_patient, limit, settings) for patient, of_patient in zip(patients, inputs, strict=True)
    ]
    columns = {name: np.asarray([getattr(count, name) for count in counts]) for name in _Counts.__slots__}
    return MatchReport(
        patients=len(patients),
        **{name: int(values.sum()) for name, values in columns.items()},
        precision=MeasuredValue.of(_ratio(columns["right"], columns["matches"])),
        recall=MeasuredValue.of(_ratio(columns["reached"], columns["wanted"])),
        limit=limit.value,
        limit_note=limit.note,
        comparisons=limit.pairs if limit.is_calibrated else 0,
    )


def _inputs(
    number: int, patient: PhantomPatient, found: Sequence[Proposals], embed: Embed, settings: MiningSettings
) -> list[SeriesMiningInput]:
    result = []
    for place, (series, proposals) in enumerate(zip(patient.series, found, strict=True)):
        marks = [_annotation(place, row, series) for row, lesion in enumerate(series.lesions) if lesion.is_labelled]
        marked = SeriesLesions(tuple(marks))
        boxes = ComparedBoxes.of(proposals, compared_rows(proposals, marks, settings))
        vectors = embed_series(partial(embed, series.volume), marked, boxes)
        result.append(
            SeriesMiningInput(
                series_id=place,
                patient_id=number,
                study_id=series.study_number,
                slices=series.volume.geometry.shape[0],
                proposals=vectors.of_boxes(proposals),
                annotations=vectors.of_lesions(marked).annotations,
            )
        )
    return result


_IDS_OF_SERIES = 1000
"""Annotation ids of one series of a patient."""


def _annotation(place: int, row: int, series: PhantomSeries) -> AnnotationOnSeries:
    """Return the mark of a lesion as DeepLesion has it: the box around its diameters with a margin, on one slice."""
    lesion = series.lesions[row]
    ends = np.asarray(lesion.recist).reshape(4, 2) + 0.5
    x1, y1 = (float(value) for value in ends.min(axis=0) - TIGHT_BOX_MARGIN_VOXELS)
    x2, y2 = (float(value) for value in ends.max(axis=0) + TIGHT_BOX_MARGIN_VOXELS)
    key = lesion.key_slice
    return AnnotationOnSeries(
        id=_IDS_OF_SERIES * place + row,
        box=(x1, y1, key, x2, y2, key + 1),
        slices=(SliceBox(key, (x1, y1, x2, y2)),),
        key_slice=key,
        lesion=lesion.key,
    )


def _counts(
    patient: PhantomPatient, inputs: Sequence[SeriesMiningInput], limit: CalibratedLimit, settings: MiningSettings
) -> _Counts:
    candidates = mine(inputs, settings, limit).candidates
    total = np.zeros(len(_Counts.__slots__), dtype=np.int64)
    for place, (series, mined) in enumerate(zip(patient.series, inputs, strict=True)):
        elsewhere = {_IDS_OF_SERIES * number + row: lesion.key
                     for number, other in enumerate(patient.series) if number != place
                     for row, lesion in enumerate(other.lesions) if lesion.is_labelled}  # fmt: skip
        is_wanted = np.asarray(
            [not lesion.is_labelled and lesion.key in elsewhere.values() for lesion in series.lesions], dtype=np.bool_
        )
        matches = [
            (candidate.finding, elsewhere[reason.annotation_id])
            for candidate in candidates
            if candidate.series_id == place
            for reason in candidate.reasons
            if reason.rule is Rule.INTRA_PATIENT and reason.annotation_id is not None
        ]
        is_at = lies_at_lesions([finding for finding, _ in matches], series.lesions)
        is_partner = np.asarray(
            [[lesion.key == partner for lesion in series.lesions] for _, partner in matches], dtype=np.bool_
        )
        tracklets = build_tracklets(mined.proposals, settings)
        seen = tracklets.findings(np.arange(len(tracklets.chains)), mined.proposals, mined.slices)
        total += [
            len(matches),
            int(is_at.any(axis=1).sum()),
            int((is_at & is_partner.reshape(is_at.shape)).any(axis=1).sum()),
            int(is_wanted.sum()),
            int((is_at.any(axis=0) & is_wanted).sum()),
            int((lies_at_lesions(seen, series.lesions).any(axis=0) & is_wanted).sum()),
        ]
    return _Counts(*total.tolist())


def _ratio(parts: NDArray[np.integer], wholes: NDArray[np.integer]) -> Interval:
    """Return the share of all parts in all wholes, (patients,) each, with its interval over patients."""
    names = [str(number) for number in range(len(wholes))]
    weights = patient_resamples(names, np.random.default_rng(SEED), ROUNDS).astype(np.float64)
    sums, total = weights @ wholes, int(wholes.sum())
    shares = np.divide(weights @ parts, sums, out=np.full(len(sums), np.nan), where=sums > 0)
    return percentile_interval(int(parts.sum()) / total if total else np.nan, shares)
