"""Data distillation: what is seen surely in the copies of a scan is a lesion, wherever it is."""

from dataclasses import replace

import pytest
from support.measures.mining_cases import Seen, annotation, drawn, proposals, series

from lens_engine.errors import ConfigError
from lens_engine.findings import Scope
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.strategies.distillation import DistillationSettings, mine_distillation

PUBLISHED = DistillationSettings()


def copied(*copies: list[Seen], marks: tuple[AnnotationOnSeries, ...] = (), slice_mm: float = 2.0) -> SeriesMiningInput:
    return replace(series([], marks, slice_mm=slice_mm), augmented=tuple(proposals(seen, slice_mm) for seen in copies))


def test_what_the_copies_agree_on_is_a_lesion_on_every_slice() -> None:
    sure, moved = Seen(0, range(10, 12), {"lung": 0.9}), Seen(3, range(10, 12), {"lung": 0.6})
    (labels,) = mine_distillation([copied([sure], [moved], [moved])], PUBLISHED)
    mean = pytest.approx((3 * 0.6 + 3 * 0.6) / (0.9 + 0.6 + 0.6), abs=1e-3)
    assert drawn(labels.positives) == [("distillation", mean, [10]), ("distillation", mean, [11])]
    assert [item.slice_index for item in labels.negatives] == [k for k in range(60) if k not in (10, 11)]
    assert labels.ignored == ()


def test_the_score_must_be_exceeded_on_average() -> None:
    seen = Seen(0, range(10, 11), {"lung": 0.75})
    assert mine_distillation([copied([seen], [seen], [])], PUBLISHED)[0].positives == ()
    assert len(mine_distillation([copied([seen], [seen], [seen])], PUBLISHED)[0].positives) == 1
    strict = DistillationSettings(min_score=0.9)
    assert mine_distillation([copied([seen], [seen], [seen])], strict)[0].positives == ()


def test_an_annotation_stays_what_it_is_on_its_slice() -> None:
    seen = Seen(5, range(5, 8), {"lung": 0.9})
    (labels,) = mine_distillation([copied([seen], [seen], [seen], marks=(annotation(7, 0, 6),))], PUBLISHED)
    assert drawn(labels.positives) == [("annotation", 0, [6]), ("distillation", 5, [5]), ("distillation", 5, [7])]
    assert labels.lesions == 3


def test_slices_that_one_grid_slice_shows_are_one_label() -> None:
    seen = Seen(0, range(10, 11), {"lung": 0.9})
    (labels,) = mine_distillation([copied([seen], [seen], [seen], slice_mm=1.0)], PUBLISHED)
    assert drawn(labels.positives) == [("distillation", 0, [19, 20])]


def test_too_few_copies_are_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match=r"Series 1 has detections of 2 augmented copies.*needs 3"):
        mine_distillation([copied([], [])], PUBLISHED)
    complete = replace(series([], number=2), scope=Scope.SINGLE_TYPE)
    assert mine_distillation([complete], PUBLISHED) == ()


@pytest.mark.parametrize(("name", "value"), [("min_score", 1.5), ("same_box_iou", -0.1), ("copies", -1)])
def test_impossible_settings_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        DistillationSettings(**{name: value})  # type: ignore[arg-type]  # any of them
