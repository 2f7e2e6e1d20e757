"""Counts in the form of LENS Table IV: each step adds its rule, data sets stand side by side."""

from collections.abc import Sequence

from support.measures.mining_cases import Seen, annotation, series

from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.reports.counts import LabelCounts, count_all, count_datasets, count_rules, count_steps
from lens_engine.mining.strategies.labels import MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, LensStep, mine_lens
from lens_engine.mining.strategies.meld import MeldSettings, mine_meld

FIRST = series(
    [
        Seen(0, range(4, 9), {"universal": 0.9}, look=0),
        Seen(200, range(8, 10), {"lung": 0.9}, look=90),
        Seen(300, range(20, 22), {"lung": 0.9}, look=90),
    ],
    (annotation(7, 0, 6, look=0),),
    number=1,
)
SECOND = series([Seen(100, range(30, 32), {"universal": 0.4}, look=3)], number=2)
PATIENT: Sequence[SeriesMiningInput] = (FIRST, SECOND)


def mined(step: LensStep = LensStep.UNLABELLED) -> tuple[MinedLabels, ...]:
    return mine_lens(PATIENT, LensSettings(up_to=step))


def test_the_rows_of_the_published_table() -> None:
    assert count_steps(mined()) == (
        LabelCounts("no mining", 1, 1, 0, 1),
        LabelCounts("+ cross-slice", 1, 5, 0, 5),
        LabelCounts("+ intra-patient", 2, 7, 0, 7),
        LabelCounts("+ cross-dataset", 2, 7, 1, 7),
        LabelCounts("+ unlabelled", 2, 7, 4, 120),
    )


def test_each_row_is_what_mining_up_to_that_step_gives() -> None:
    for row, step in zip(count_steps(mined())[1:], LensStep, strict=True):
        assert count_all(row.name, mined(step)) == row


def test_what_each_rule_adds_by_itself() -> None:
    assert count_rules(mined()) == (
        LabelCounts("annotation", 1, 1, 0, 1),
        LabelCounts("cross-slice", 1, 4, 0, 4),
        LabelCounts("intra-patient", 1, 2, 0, 2),
        LabelCounts("cross-dataset", 0, 0, 4, 4),
        LabelCounts("unlabelled", 0, 0, 0, 113),
    )
    (matching, *rest) = count_rules(mine_meld(PATIENT, MeldSettings(with_negative_regions=False)))[1:]
    assert (matching.name, rest) == ("annotation matching", [])


def test_data_sets_stand_side_by_side_above_their_sum() -> None:
    first, second = mined()
    one, other, both = count_datasets({"hospital A": [first], "hospital B": [second]})
    assert (one.name, other.name, both.name) == ("hospital A", "hospital B", "all")
    assert (one.lesions + other.lesions, one.slices + other.slices) == (both.lesions, both.slices)
    assert len(count_datasets({"hospital A": [first, second]})) == 1


def test_nothing_is_counted_of_nothing() -> None:
    assert count_all("none", []) == LabelCounts("none", 0, 0, 0, 0)
    assert (count_rules([]), count_datasets({})) == ((), ())
