"""What a detector finds on labelled cases, as the measures of `lens_engine.evaluation` want it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.false_positive_reduction.rescoring import ScoreRule, lesion_probabilities, rescored
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import EXACT, InferenceDetector, InferenceSettings
from lens_engine.evaluation.froc import prediction_rows
from lens_engine.evaluation.key_slices import boxes_on_slice, image_name
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.proposals import SeriesDetections
from lens_engine.snapshot import LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

EVALUATION_SCORE = 0.01
"""Score threshold of FROC curves (algorithms 4.4)."""
WITH_FPR = f"{FUSED} + FPR"
"""Output whose scores are averaged with those of false-positive reduction."""
FPR_ALONE = "FPR alone"

T = TypeVar("T")

_SCORE_RULES = {WITH_FPR: ScoreRule.AVERAGE, FPR_ALONE: ScoreRule.ALONE}


@dataclass(frozen=True, slots=True, eq=False)
class KeySliceFindings:
    """What one output finds where only key slices were drawn on.

    Attributes
    ----------
    boxes
        2D boxes and scores (n, 5) on each key slice, by `image_name`.
    rows
        3D boxes and scores (n, 7) of each case.
    """

    boxes: dict[str, NDArray[np.float64]]
    rows: dict[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Measurer:
    """What is measured, and where progress goes.

    Attributes
    ----------
    model
        The detector, in evaluation mode, on the device where it shall run.
    network
        Judges the fused findings again; None leaves them as they are.
    settings
        How the detector computes.
    """

    model: LensDetector
    log: ProgressLog
    stop: StopSignal
    network: FprNetwork | None = None
    settings: InferenceSettings = EXACT

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of everything that is measured but the fusion itself."""
        return (*self.model.config.experts, *(() if self.network is None else _SCORE_RULES))

    def findings(self, cases: Sequence[Case]) -> dict[str, tuple[Finding, ...]]:
        """Return the findings of all outputs on each case, by its name."""

        def judged(volume: Volume, found: SeriesDetections) -> tuple[Finding, ...]:
            return (*found.findings, *self._judged_again(volume, found.findings))

        return dict(self._over(cases, judged))

    def on_key_slices(self, cases: Sequence[Case]) -> dict[str, KeySliceFindings]:
        """Return what each expert and the fusion find on and around the key slices, by output."""
        drawn = {case.name: sorted({part.slice_index for part in key_sections(case)}) for case in cases}
        kept = {name: KeySliceFindings({}, {}) for name in (*self.model.config.experts, FUSED)}
        for case, detections in self._over(cases, lambda _volume, found: found):
            for output, found in kept.items():
                found.rows[case] = prediction_rows(detections.findings, output)
                for index in drawn[case]:
                    found.boxes[image_name(case, index)] = boxes_on_slice(detections.proposals, output, index)
        return kept

    def _over(self, cases: Sequence[Case], use: Callable[[Volume, SeriesDetections], T]) -> Iterator[tuple[str, T]]:
        """Detect on every case, and keep only what `use` makes of it."""
        post = self.model.config.post.model_copy(update={"score_threshold": EVALUATION_SCORE})
        detector = InferenceDetector(self.model, self.settings)
        for done, case in enumerate(cases):
            self.stop.check()
            self.log.report(Stage.EVALUATE, done, len(cases))
            volume = case.load()
            yield case.name, use(volume, detect_with(detector, volume, post=post))
        self.log.report(Stage.EVALUATE, len(cases), len(cases))

    def _judged_again(self, volume: Volume, findings: Sequence[Finding]) -> list[Finding]:
        if self.network is None:
            return []
        fused = [finding for finding in findings if finding.expert == FUSED]
        chances = lesion_probabilities(self.network, volume, fused)
        return [
            replace(finding, expert=output)
            for output, rule in _SCORE_RULES.items()
            for finding in rescored(fused, chances, rule)
        ]


def truth_of(case: Case) -> CaseTruth:
    """Return the complete truth of a case, with what is known of its lesions."""
    facts = [fact for fact, lesion in zip(case.facts, case.lesions, strict=False) if lesion.role is LesionRole.POSITIVE]
    return CaseTruth(
        patient=case.patient,
        boxes=case.truth,
        lesion_types=tuple(fact.lesion_type for fact in facts),
        organs=tuple(fact.organ for fact in facts),
        diameters_mm=tuple(fact.diameter_mm for fact in facts),
    )


def key_sections(case: Case) -> tuple[SliceBox, ...]:
    """Return the boxes that were drawn on the key slices of a case."""
    return tuple(
        SliceBox(index, (x1, y1, x2, y2))
        for lesion in case.lesions
        if lesion.role is LesionRole.POSITIVE and lesion.key_slice is not None
        for index, x1, y1, x2, y2 in lesion.slices
        if index == lesion.key_slice
    )
