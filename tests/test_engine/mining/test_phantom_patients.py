"""Mining on phantom patients with an ideal detector: one question for every unmarked lesion, and no other."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from lens_engine.boxes import overlaps, pad_in_plane
from lens_engine.findings import FUSED, Box2D, Candidate, Rule
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import mine
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.phantom.patient import (
    DATASETS,
    DEFAULT_SETTINGS,
    VAL_SEEDS,
    PhantomLesion,
    PhantomPatient,
    PhantomSeries,
    make_patient,
)
from lens_engine.proposals import Proposals

EXPERTS = (*DATASETS, FUSED)
LENGTH = 64


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)


def mining_inputs(patient: PhantomPatient) -> list[SeriesMiningInput]:
    """Let every expert see every lesion of its type, slightly beside the truth; a lesion looks the same every time."""
    generator = np.random.default_rng(patient.seed)
    keys = sorted({lesion.key for series in patient.series for lesion in series.lesions})
    looks = {key: unit(generator.normal(size=LENGTH)) for key in keys}
    inputs = []
    for number, series in enumerate(patient.series):
        rows, embeddings = [], []
        for lesion in series.lesions:
            scores = {"universal": 0.45} | ({lesion.lesion_type: 0.8} if lesion.lesion_type in EXPERTS else {})
            for section in lesion.slices:
                box = padded(section.box) + generator.normal(0, 0.2, 4)
                look = unit(looks[lesion.key] + generator.normal(0, 0.008, LENGTH))
                for name, score in scores.items():
                    rows.append((EXPERTS.index(name), section.slice_index, box, score))
                rows.append((EXPERTS.index(FUSED), section.slice_index, box, max(scores.values())))
                embeddings.append((section.slice_index, look))
        rows.sort(key=lambda row: row[:2])
        embeddings.sort(key=lambda row: row[0])
        columns = list(zip(*rows, strict=True))
        types = (np.int16, np.int32, np.float32, np.float32)
        arrays = [np.asarray(column, dtype=kind) for column, kind in zip(columns, types, strict=True)]
        spacing = series.volume.geometry.spacing_mm[0]
        notes = tuple(
            annotation(lesion_id(number, index), lesion, looks[lesion.key])
            for index, lesion in enumerate(series.lesions)
            if lesion.is_labelled
        )
        looks_of_fused = np.asarray([look for _, look in embeddings], dtype=np.float32)
        proposals = Proposals(EXPERTS, spacing, spacing, *arrays, looks_of_fused)
        inputs.append(SeriesMiningInput(number, 1, number, series.volume.geometry.shape[0], proposals, (), notes))
    return inputs


def lesion_id(series: int, index: int) -> int:
    return 100 * series + index


def annotation(number: int, lesion: PhantomLesion, look: NDArray[np.float64]) -> AnnotationOnSeries:
    section = next(section for section in lesion.slices if section.slice_index == lesion.key_slice)
    x1, y1, x2, y2 = (float(value) for value in padded(section.box))
    whole = (x1, y1, float(lesion.key_slice), x2, y2, float(lesion.key_slice + 1))
    sections = (replace(section, box=(x1, y1, x2, y2)),)
    return AnnotationOnSeries(number, whole, sections, lesion.key_slice, look.astype(np.float32))


def padded(box: Box2D) -> NDArray[np.float64]:
    """Return the box as marks and detectors have it: two pixels wider on every side."""
    (grown,) = pad_in_plane(np.asarray([box]), 2)
    return np.asarray(grown, dtype=np.float64)


def lesion_of(candidate: Candidate, series: PhantomSeries) -> PhantomLesion:
    truth = np.asarray([lesion.box for lesion in series.lesions])
    return series.lesions[int(np.argmax(overlaps(np.asarray([candidate.finding.box]), truth)))]


@pytest.mark.parametrize("seed", VAL_SEEDS[:3])
def test_an_ideal_detector_leads_to_one_question_for_each_unmarked_lesion(seed: int) -> None:
    patient = make_patient(seed, "universal", replace(DEFAULT_SETTINGS, size=160))
    result = mine(mining_inputs(patient), MiningSettings(), CalibratedLimit(0.15, 1000, True, ""))
    for number, series in enumerate(patient.series):
        asked = {lesion.key: set[Rule]() for lesion in series.lesions}
        partners = {lesion.key: set[int | None]() for lesion in series.lesions}
        of_series = [candidate for candidate in result.candidates if candidate.series_id == number]
        for candidate in of_series:
            key = lesion_of(candidate, series).key
            assert not asked[key], f"{key} is asked about twice"
            asked[key] = {reason.rule for reason in candidate.reasons}
            partners[key] = {r.annotation_id for r in candidate.reasons if r.rule is Rule.INTRA_PATIENT}
        for lesion in series.lesions:
            elsewhere = {
                lesion_id(other, index)
                for other, of_patient in enumerate(patient.series)
                for index, same in enumerate(of_patient.lesions)
                if other != number and same.key == lesion.key and same.is_labelled
            }
            if lesion.is_labelled:
                assert (Rule.CROSS_SLICE in asked[lesion.key]) == (len(lesion.slices) > 1)
            else:
                assert partners[lesion.key] == elsewhere
                assert (Rule.CROSS_DATASET in asked[lesion.key]) == (lesion.lesion_type in DATASETS)
