"""Reports as text: aligned, with what is unknown marked as such."""

from lens_engine.mining.reports.accuracy import Accuracy, RuleAccuracy
from lens_engine.mining.reports.counts import LabelCounts
from lens_engine.mining.reports.tables import accuracy_table, counts_table


def test_counts_stand_under_the_columns_of_the_published_table() -> None:
    text = counts_table([LabelCounts("no mining", 22800, 22800, 0, 22400), LabelCounts("+ cross-slice", 1, 2, 3, 4)])
    assert text == (
        "               lesions  2D boxes  2D uncertain  slices\n"
        "no mining        22800     22800             0   22400\n"
        "+ cross-slice        1         2             3       4\n"
    )


def test_shares_come_with_their_numbers_and_unknown_ones_with_a_dash() -> None:
    text = accuracy_table([RuleAccuracy("intra-patient", Accuracy(10, 9, 4, 3), Accuracy())])
    assert text == (
        "               lesions: precision       recall  boxes: precision  recall\n"
        "intra-patient        90.0% (9/10)  75.0% (3/4)                 –       –\n"
    )


def test_a_table_of_nothing_is_its_heads() -> None:
    assert counts_table([]).count("\n") == 1
