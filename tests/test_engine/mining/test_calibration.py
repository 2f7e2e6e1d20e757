"""The distance limit is learned from comparisons with wrong patients, or the published one with a warning."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.measures.mining_cases import Seen, annotation, look_alike, series

from lens_engine.checkpoint_card import MeasuredLimit
from lens_engine.errors import BoxError
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.rules.intra_patient import KnownLesions, match_lesions
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets


def patients(count: int, lesions: int = 4, spread: float = 360) -> list[SeriesMiningInput]:
    generator = np.random.default_rng(0)
    result = []
    for number in range(count):
        looks = generator.uniform(0, spread, lesions)
        seen = [Seen(40.0 * i, range(3), {"universal": 0.5}, look=float(look)) for i, look in enumerate(looks)]
        marks = tuple(annotation(100 * number + i, 40.0 * i, 1, look=float(look)) for i, look in enumerate(looks[:2]))
        result.append(series(seen, marks, number=number, patient=number))
    return result


def test_the_limit_lets_at_most_the_set_share_of_wrong_comparisons_through() -> None:
    inputs = patients(20)
    limit = calibrate_distance_limit(inputs, MiningSettings(max_cross_patient_share=0.01))
    assert (limit.is_calibrated, limit.pairs) == (True, 20 * 2 * 19)
    wrong = 0
    for one in inputs:
        for other in inputs:
            if one is not other:
                for note in one.annotations:
                    known = KnownLesions.gather([(note.id, -1, note.embedding)])  # type: ignore[list-item]  # embedded
                    embedded = build_tracklets(other.proposals, MiningSettings()).embeddings
                    wrong += bool(match_lesions(embedded, other.series_id, known, limit.value))
    assert wrong <= 0.01 * limit.pairs
    assert wrong >= 0.01 * limit.pairs - 1
    assert f"{limit.value:.3f}" in limit.note


def test_embeddings_that_crowd_together_get_a_smaller_limit() -> None:
    apart, crowded = (calibrate_distance_limit(patients(20, spread=spread)) for spread in (360, 30))
    assert crowded.value < apart.value


def test_own_lesions_and_those_of_the_same_patient_do_not_count() -> None:
    inputs = patients(12, lesions=2)
    twice = inputs + [SeriesMiningInput(100 + one.series_id, one.patient_id, 9, 60, one.proposals) for one in inputs]
    assert calibrate_distance_limit(twice) == calibrate_distance_limit(inputs)


def test_too_few_comparisons_give_the_published_limit_and_say_so() -> None:
    limit = calibrate_distance_limit(patients(4))
    assert (limit.value, limit.is_calibrated, limit.pairs) == (0.15, False, 24)
    assert "Only 24 comparisons" in limit.note
    assert "100 are needed" in limit.note
    assert calibrate_distance_limit([]).value == 0.15


MEASURED = MeasuredLimit(value=0.3, comparisons=500, measured_on="12 validation phantoms", precision=0.84, recall=0.56)


def test_too_few_comparisons_give_the_limit_of_the_embeddings_card_where_it_has_one() -> None:
    limit = calibrate_distance_limit(patients(4), measured=MEASURED)
    assert (limit.value, limit.is_calibrated, limit.pairs) == (0.3, False, 24)
    assert "Only 24 comparisons" in limit.note
    assert "0.300 is used that this embedding got when it was made" in limit.note
    assert "12 validation phantoms, 500 comparisons, precision 84%, recall 56%" in limit.note
    assert "published" not in limit.note
    bare = MeasuredLimit(value=0.3, comparisons=500, measured_on="phantoms")
    assert "(phantoms, 500 comparisons)" in calibrate_distance_limit([], measured=bare).note


def test_enough_comparisons_do_not_ask_the_card() -> None:
    inputs = patients(20)
    assert calibrate_distance_limit(inputs, measured=MEASURED) == calibrate_distance_limit(inputs)


def test_what_was_not_embedded_is_not_compared() -> None:
    seen = [Seen(0, range(3), {"universal": 0.5}, look=None)]
    inputs = [series(seen, (annotation(i, 0, 1),), number=i, patient=i) for i in range(30)]
    assert calibrate_distance_limit(inputs).pairs == 0


def test_patients_beyond_the_number_are_skipped_but_not_their_further_series() -> None:
    inputs = patients(20)
    first = calibrate_distance_limit(inputs[:12], MiningSettings(min_calibration_pairs=1))
    assert calibrate_distance_limit(inputs, MiningSettings(calibration_patients=12, min_calibration_pairs=1)) == first


def test_the_unit_of_the_limit_is_the_distance_of_unit_vectors() -> None:
    seen = [Seen(0, range(3), {"universal": 0.5}, look=0)]
    inputs = [series(seen, (annotation(i, 0, 1, look=60),), number=i, patient=i) for i in range(12)]
    assert np.linalg.norm(look_alike(0)) == pytest.approx(1)
    assert calibrate_distance_limit(inputs).value == pytest.approx(2 * math.sin(math.radians(30)), abs=1e-6)


def wobbling(spread: float) -> list[SeriesMiningInput]:
    """Return patients 20 degrees apart whose lesion turns by `spread` degrees on the slice above the marked one."""
    inputs = []
    for number in range(16):
        look = 20.0 * number
        boxes = [Seen(0, range(3, 4), {"universal": 0.5}, look=look + spread)]
        boxes += [Seen(0, range(4, 6), {"universal": 0.5}, look=look)]
        inputs.append(series(boxes, (annotation(number, 0, 4, look=look),), number=number, patient=number))
    return inputs


def test_recall_and_precision_at_the_limit_are_told_from_pairs_of_one_lesion() -> None:
    # Other patients are 20 degrees away, 0.347. Each mark has a box above, `spread` degrees away, and one below, alike.
    limit = calibrate_distance_limit(wobbling(30))
    assert limit.value == pytest.approx(2 * math.sin(math.radians(10)), abs=1e-6)
    assert (limit.same_lesion_pairs, limit.recall) == (32, 0.5)
    assert limit.precision == pytest.approx(1, abs=0.02)
    assert "recall 50.0% of 32 pairs of one lesion on neighbouring slices" in limit.note
    assert limit.note.endswith("comparisons.")
    assert calibrate_distance_limit(wobbling(10)).recall == 1


def test_wrong_comparisons_below_the_limit_lower_the_precision() -> None:
    settings = MiningSettings(max_cross_patient_share=0.5)
    limit = calibrate_distance_limit(wobbling(10), settings)
    assert limit.recall == 1
    assert limit.precision == pytest.approx(1 / 1.5, abs=0.05)
    assert f"precision {limit.precision:.1%}" in limit.note


def test_what_the_published_limit_is_worth_is_told_too() -> None:
    limit = calibrate_distance_limit(wobbling(5)[:3])
    assert (limit.is_calibrated, limit.recall, limit.precision) == (False, 1, 1)


def test_without_continued_marks_the_recall_is_unknown() -> None:
    inputs = [series([Seen(0, range(4, 5), {"universal": 0.5}, look=0)], (annotation(1, 0, 4, look=0),))]
    for limit in (calibrate_distance_limit(inputs), calibrate_distance_limit([])):
        assert (limit.same_lesion_pairs, limit.recall, limit.precision) == (0, None, None)
        assert "recall is unknown" in limit.note


def test_one_patient_alone_has_a_recall_and_no_precision() -> None:
    limit = calibrate_distance_limit(wobbling(5)[:1])
    assert (limit.recall, limit.precision) == (1, None)


def test_patients_with_embeddings_of_two_models_are_refused() -> None:
    one, other = wobbling(5)[:2]
    longer = replace(other.proposals, embeddings=np.ones((3, 5), dtype=np.float32))
    with pytest.raises(BoxError, match="length 2 and 5"):
        calibrate_distance_limit([one, replace(other, proposals=longer, annotations=())])


def with_twins(apart: float) -> list[SeriesMiningInput]:
    """Return patients 20 degrees apart whose one lesion is annotated in two series, turned by `apart` degrees."""
    inputs = []
    for number in range(12):
        for study in range(2):
            look = 20.0 * number + study * apart
            mark = replace(annotation(2 * number + study, 0, 4, look=look), lesion=f"lesion of {number}")
            boxes = [Seen(0, range(4, 5), {"universal": 0.5}, look=look)]
            inputs.append(series(boxes, (mark,), number=2 * number + study, patient=number))
    return inputs


def test_where_one_lesion_is_known_in_two_series_recall_and_precision_are_told_from_it() -> None:
    near, far = (calibrate_distance_limit(with_twins(apart)) for apart in (5, 17))
    assert (near.same_lesion_pairs, near.recall) == (12, 1)
    assert near.precision is not None
    assert near.precision > 0.98
    assert (far.same_lesion_pairs, far.recall) == (12, 0)
    assert "recall 100.0% of 12 pairs of one lesion in two scans, precision 9" in near.note
    assert "recall 0.0% of 12 pairs of one lesion in two scans" in far.note


def test_lesions_of_two_patients_or_of_one_series_are_no_pair_whatever_they_are_called() -> None:
    inputs = [
        series([], tuple(replace(annotation(2 * n + i, 0, 1, look=i), lesion="same") for i in range(2)), n, patient=n)
        for n in range(3)
    ]
    assert calibrate_distance_limit(inputs).same_lesion_pairs == 0


def test_what_a_reader_decided_is_a_pair_with_the_annotation_it_was_matched_with() -> None:
    one, other = with_twins(5)[:2]
    moved = replace(other, annotations=(), decided=other.annotations)
    assert calibrate_distance_limit([one, moved]).same_lesion_pairs == 1
