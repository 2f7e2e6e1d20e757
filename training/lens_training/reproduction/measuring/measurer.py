"""What a detector, and the network that judges it again, find in labelled cases."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.false_positive_reduction.rescoring import ScoreRule, lesion_probabilities, rescored
from lens_engine.detector.inference.chosen_slices import detect_on_slices
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import EXACT, InferenceDetector, InferenceSettings
from lens_engine.evaluation.truth import CaseTruth
from lens_engine.findings import FUSED, Finding, SliceBox
from lens_engine.snapshot import LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.case import Case
from lens_training.reproduction.case_detections import CaseDetections

EVALUATION_SCORE = 0.01
"""Score threshold of FROC curves (algorithms 4.4)."""
WITH_FPR = f"{FUSED} + FPR"
"""Output whose scores are averaged with those of false-positive reduction."""
FPR_ALONE = "FPR alone"

Look = Callable[[Case], CaseDetections]
"""One way to look at a case."""

_SCORE_RULES = {WITH_FPR: ScoreRule.AVERAGE, FPR_ALONE: ScoreRule.ALONE}


class Measurer:
    """A detector that is measured.

    Parameters
    ----------
    model
        In evaluation mode, on the device where it shall run.
    network
        Judges the fused findings again; None leaves them as they are.

    Attributes
    ----------
    experts
        Of the detector.
    """

    def __init__(
        self, model: LensDetector, network: FprNetwork | None = None, settings: InferenceSettings = EXACT
    ) -> None:
        self.experts = model.config.experts
        self._detector = InferenceDetector(model, settings)
        self._network = network
        self._post = model.config.post.model_copy(update={"score_threshold": EVALUATION_SCORE})

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of everything that is measured but the fusion itself."""
        return (*self.experts, *(() if self._network is None else _SCORE_RULES))

    def look_at(self, case: Case) -> CaseDetections:
        """Return the boxes on all slices of a case, and the findings of all outputs."""
        volume = case.load()
        found = detect_with(self._detector, volume, post=self._post)
        judged = self._judged_again(volume, found.findings)
        return CaseDetections(found.proposals.without_embeddings(), findings=(*found.findings, *judged))

    def look_at_key_slices(self, case: Case) -> CaseDetections:
        """Return the boxes on the key slices of a case, each on a grid that passes through it."""
        found = detect_on_slices(self._detector, case.geometry, _reader(case), case.key_slices, self._post)
        return CaseDetections(found)

    def _judged_again(self, volume: Volume, findings: Sequence[Finding]) -> list[Finding]:
        if self._network is None:
            return []
        fused = [finding for finding in findings if finding.expert == FUSED]
        chances = lesion_probabilities(self._network, volume, fused)
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


def _reader(case: Case) -> Callable[[Sequence[int]], NDArray[np.int16]]:
    """Return what reads slices of a case: those alone where its files allow it."""

    def read(slices: Sequence[int]) -> NDArray[np.int16]:
        part = None if case.files is None else case.files.read(slices)
        return case.load().voxels[list(slices)] if part is None else part

    return read
