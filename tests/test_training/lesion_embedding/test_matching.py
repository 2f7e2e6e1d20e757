"""What matches are worth is counted against the truth of phantoms, with an imagined detector and embedding."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from lens_engine.boxes import pad_in_plane
from lens_engine.findings import FUSED, Box2D
from lens_engine.mining.settings import MiningSettings
from lens_engine.phantom.patient import (
    UNIVERSAL,
    VAL_SEEDS,
    PhantomPatient,
    PhantomSeries,
    PhantomSettings,
    make_patient,
)
from lens_engine.proposals import Proposals
from lens_engine.volume import Volume
from lens_training.lesion_embedding.matching import MatchReport, measure_matches

LENGTH = 256


@pytest.fixture(scope="module")
def patients() -> list[PhantomPatient]:
    settings = PhantomSettings(size=96, withheld_share=0.5)
    return [make_patient(seed, UNIVERSAL, settings) for seed in VAL_SEEDS[:3]]


def seen(series: PhantomSeries) -> Proposals:
    """See every lesion on each of its slices, with the margin that marks have."""
    rows = sorted(
        (part.slice_index, *pad_in_plane(np.asarray([part.box]), 5)[0].tolist())
        for lesion in series.lesions
        for part in lesion.slices
    )
    columns, count = np.asarray(rows), len(rows)
    return Proposals(
        ("universal", FUSED),
        4.0,
        4.0,
        np.ones(count, np.int16),
        columns[:, 0].astype(np.int32),
        columns[:, 1:].astype(np.float32),
        np.full(count, 0.5, np.float32),
        np.zeros((count, 3), np.float32),
    )


def recognise(
    patients: Sequence[PhantomPatient],
    name: Callable[[int, str], str],
    volume: Volume,
    places: Sequence[tuple[float, Box2D]],
) -> NDArray[np.float32]:
    """Return a vector for each place that depends on the name of the lesion there alone."""
    found = []
    for slice_index, (x1, y1, x2, y2) in places:
        patient, series = next(
            (patient, series) for patient in patients for series in patient.series if series.volume is volume
        )
        centre = np.asarray([(x1 + x2) / 2, (y1 + y2) / 2, slice_index + 0.5])
        boxes = np.asarray([lesion.box for lesion in series.lesions])
        nearest = int(np.abs((boxes[:, :3] + boxes[:, 3:]) / 2 - centre).sum(axis=1).argmin())
        text = name(patient.seed, series.lesions[nearest].key)
        vector = np.random.default_rng(list(text.encode())).normal(size=LENGTH)
        found.append(vector / np.linalg.norm(vector))
    return np.asarray(found, dtype=np.float32).reshape(-1, LENGTH)


def measured(
    patients: list[PhantomPatient], name: Callable[[int, str], str], settings: MiningSettings | None = None
) -> MatchReport:
    found = [[seen(series) for series in patient.series] for patient in patients]
    return measure_matches(patients, found, partial(recognise, patients, name), settings)


def test_an_ideal_embedding_finds_every_unmarked_lesion_with_a_marked_twin(patients):
    report = measured(patients, lambda seed, key: f"{seed} {key}")
    wanted = sum(
        not lesion.is_labelled
        and any(o.key == lesion.key and o.is_labelled for s in patient.series if s is not series for o in s.lesions)
        for patient in patients
        for series in patient.series
        for lesion in series.lesions
    )
    assert wanted > 3
    assert (report.wanted, report.reached, report.seen) == (wanted,) * 3
    assert report.right == report.right_partners == report.matches
    assert (report.precision.value, report.recall.value) == (1, 1)
    assert "precision 100.0" in report.text
    assert report.metrics["match recall"] == 1


def test_an_embedding_that_sees_no_likeness_matches_nothing(patients):
    numbers = iter(range(10**6))
    report = measured(patients, lambda seed, key: str(next(numbers)))
    assert (report.matches, report.reached, report.recall.value, report.precision.value) == (0, 0, 0, None)


def test_a_match_with_another_lesion_of_the_patient_is_right_and_its_partner_is_not(patients):
    report = measured(patients, lambda seed, key: str(seed))
    assert report.right == report.matches
    assert 0 < report.right_partners < report.right


def test_the_card_gets_the_limit_with_what_it_is_worth_only_where_it_was_calibrated(patients):
    report = measured(patients, lambda seed, key: f"{seed} {key}", MiningSettings(min_calibration_pairs=1))
    limit = report.limit_measured_on("3 phantoms")
    assert limit is not None
    assert (limit.value, limit.measured_on, limit.precision, limit.recall) == (report.limit, "3 phantoms", 1, 1)
    assert f"of {limit.comparisons} comparisons" in report.limit_note
    few = measured(patients, lambda seed, key: f"{seed} {key}", MiningSettings(min_calibration_pairs=1000))
    assert few.limit_measured_on("3 phantoms") is None
