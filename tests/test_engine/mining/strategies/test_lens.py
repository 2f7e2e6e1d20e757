"""LENS: what is marked goes on, what resembles it is a lesion, what single-type experts see is ignored."""

from dataclasses import replace

import pytest
from support.measures.mining_cases import Seen, annotation, drawn, series

from lens_engine.errors import ConfigError
from lens_engine.findings import SliceBox
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.strategies.labels import MinedLabels, Teaching
from lens_engine.mining.strategies.lens import LensSettings, LensStep, mine_lens

MARKED = Seen(0, range(4, 9), {"universal": 0.9}, look=0)
UNCERTAIN_HERE = Seen(200, range(8, 10), {"lung": 0.9}, look=90)
UNCERTAIN_ELSEWHERE = Seen(300, range(20, 22), {"lung": 0.9}, look=90)
RETURNED = Seen(100, range(30, 32), {"universal": 0.4}, look=3)
MARK = annotation(7, 0, 6, look=0)

FIRST = series([MARKED, UNCERTAIN_HERE, UNCERTAIN_ELSEWHERE], (MARK,), number=1)
SECOND = series([RETURNED], number=2)


def labels(settings: LensSettings, *inputs: SeriesMiningInput) -> list[MinedLabels]:
    return list(mine_lens(inputs or (FIRST, SECOND), settings))


ANNOTATED = ("annotation", 0, [6])
CONTINUED = ("cross-slice", 0, [4, 5, 7, 8])
MATCHED = ("intra-patient", 100, [30, 31])

STEPS = {
    LensStep.CROSS_SLICE: ([ANNOTATED, CONTINUED], [], [], 0),
    LensStep.INTRA_PATIENT: ([ANNOTATED, CONTINUED], [MATCHED], [], 0),
    LensStep.CROSS_DATASET: ([ANNOTATED, CONTINUED], [MATCHED], [("cross-dataset", 200, [8])], 0),
    LensStep.UNLABELLED: (
        [ANNOTATED, CONTINUED],
        [MATCHED],
        [("cross-dataset", 200, [8, 9]), ("cross-dataset", 300, [20, 21])],
        55,
    ),
}


@pytest.mark.parametrize("step", LensStep)
def test_each_step_adds_what_it_is_named_after(step: LensStep) -> None:
    of_first, of_second, ignored, negatives = STEPS[step]
    first, second = labels(LensSettings(up_to=step))
    assert drawn(first.positives) == of_first
    assert drawn(second.positives) == of_second
    assert drawn(first.ignored) == ignored
    assert len(first.negatives) == negatives


def test_a_continuation_is_the_annotated_lesion_and_a_match_another() -> None:
    first, second = labels(LensSettings())
    assert (first.lesions, second.lesions) == (1, 1)
    assert first.positives[1].annotation_ids == (7,)
    assert second.positives[0].annotation_ids == (7,)
    assert second.positives[0].distance == pytest.approx(0.0524, abs=1e-4)
    assert {label.teaches for label in (*first.positives, *second.positives)} == {Teaching.POSITIVE}


def test_two_marks_of_one_tracklet_are_one_lesion() -> None:
    (found,) = labels(LensSettings(), series([MARKED], (annotation(7, 0, 5), annotation(8, 0, 7))))
    assert found.lesions == 1
    assert drawn(found.positives)[2] == ("cross-slice", 0, [4, 6, 8])
    assert found.positives[2].annotation_ids == (7, 8)


def test_a_completely_annotated_lesion_is_not_continued() -> None:
    sections = tuple(SliceBox(k, (0, 50, 20, 70)) for k in range(5, 8))
    whole = replace(MARK, slices=sections, key_slice=None)
    (found,) = labels(LensSettings(), series([MARKED], (whole,)))
    assert drawn(found.positives) == [("annotation", 0, [5, 6, 7])]


def test_an_annotation_is_cut_where_the_series_ends() -> None:
    sections = tuple(SliceBox(k, (0, 50, 20, 70)) for k in range(57, 63))
    (found,) = labels(LensSettings(), series([], (replace(MARK, slices=sections, key_slice=None),)))
    assert drawn(found.positives) == [("annotation", 0, [57, 58, 59])]


def test_uncertain_places_taught_as_lesions_are_none_that_are_ignored() -> None:
    first, _ = labels(LensSettings(uncertain_as_lesions=True))
    assert first.ignored == ()
    assert drawn(first.positives)[2:] == [("cross-dataset", 200, [8, 9]), ("cross-dataset", 300, [20, 21])]
    assert first.lesions == 3


def test_a_limit_of_zero_matches_nothing() -> None:
    assert labels(LensSettings(distance_limit=0))[1].positives == ()


def test_other_thresholds_reach_the_rules() -> None:
    first, _ = labels(LensSettings(rules=MiningSettings(uncertain_min_score=0.95)))
    assert first.ignored == ()
    with pytest.raises(ConfigError, match=r"distance_limit is 2\.5"):
        LensSettings(distance_limit=2.5)
    with pytest.raises(ConfigError, match="up_to is cross"):
        LensSettings(up_to="cross")  # type: ignore[arg-type]  # as a careless caller might
