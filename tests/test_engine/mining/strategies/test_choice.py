"""A recipe names a strategy; all of them answer in the same form, whatever the inputs are."""

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.measures.mining_cases import Seen, annotation, drawn, proposals, series

from lens_engine.errors import ConfigError
from lens_engine.findings import Scope
from lens_engine.mining.calibration import calibrate_distance_limit
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.looks import with_embeddings
from lens_engine.mining.settings import Linking
from lens_engine.mining.strategies.choice import (
    SETTINGS_OF,
    MiningStrategy,
    StrategySettings,
    mine_labels,
    rows_to_embed,
    strategy_settings,
)
from lens_engine.mining.strategies.labels import LabelRule, MinedLabels
from lens_engine.mining.strategies.lens import LensSettings, LensStep
from lens_engine.mining.strategies.meld import MeldSettings

MARK = annotation(7, 0, 6, look=0)


def copied(one: SeriesMiningInput) -> SeriesMiningInput:
    return replace(one, augmented=(one.proposals,) * 3)


@pytest.mark.parametrize("strategy", MiningStrategy)
def test_every_strategy_is_chosen_by_its_name_with_the_published_defaults(strategy: MiningStrategy) -> None:
    assert strategy_settings(strategy.value) == SETTINGS_OF[strategy]()


@pytest.mark.parametrize("strategy", MiningStrategy)
def test_every_setting_says_what_it_is_and_where_it_comes_from(strategy: MiningStrategy) -> None:
    text = SETTINGS_OF[strategy].__doc__ or ""
    names = [field.name for field in fields(SETTINGS_OF[strategy])]
    assert all(name in text for name in names)


def test_a_recipe_sets_values_by_name_also_those_of_the_rules() -> None:
    chosen = strategy_settings("lens", {"up_to": "cross-slice", "rules": {"linking": "connected", "linking_iou": 0.4}})
    assert isinstance(chosen, LensSettings)
    assert (chosen.up_to, chosen.rules.linking, chosen.rules.linking_iou) == (
        LensStep.CROSS_SLICE,
        Linking.CONNECTED,
        0.4,
    )


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "another strategy": ("mean teacher", {}, "'mean teacher'. One of none, lens, meld, wang, distillation"),
    "another setting": ("meld", {"theta": 0.1}, "setting theta of the mining strategy meld is 0.1"),
    "another setting of the rules": ("lens", {"rules": {"theta": 0.1}}, "setting rules.theta"),
    "a word for a number": ("wang", {"min_iou": "high"}, "min_iou of the mining strategy wang is 'high'"),
    "a number out of range": ("wang", {"min_iou": 1.5}, "min_iou is 1.5. A number from 0 to 1.0"),
    "anything for nothing": ("none", {"min_iou": 0.5}, "setting min_iou of the mining strategy none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_recipe_cannot_say_is_refused_with_the_value(name: str) -> None:
    strategy, values, message = REFUSED[name]
    with pytest.raises(ConfigError) as refused:
        strategy_settings(strategy, values)
    assert message in str(refused.value)


def test_without_mining_only_the_annotations_are_taught() -> None:
    seen = [Seen(0, range(4, 9), {"universal": 0.9, "lung": 0.9}, look=0)]
    (labels,) = mine_labels([series(seen, (MARK,))], strategy_settings("none"))
    assert drawn(labels.positives) == [("annotation", 0, [6])]
    assert (labels.ignored, labels.negatives) == ((), ())


@pytest.mark.parametrize("strategy", MiningStrategy)
def test_no_series_no_labels_and_an_empty_series_has_empty_labels(strategy: MiningStrategy) -> None:
    chosen = strategy_settings(strategy)
    assert mine_labels([], chosen) == ()
    (labels,) = mine_labels([copied(series([]))], chosen)
    assert (labels.positives, labels.ignored) == ((), ())
    (labels,) = mine_labels([copied(series([], (MARK,)))], chosen)
    assert drawn(labels.positives) == [("annotation", 0, [6])]


@pytest.mark.parametrize("strategy", MiningStrategy)
def test_series_of_complete_data_sets_are_not_mined(strategy: MiningStrategy) -> None:
    complete = copied(series([], (MARK,), number=1, scope=Scope.SINGLE_TYPE))
    mined = mine_labels([complete, copied(series([], number=2))], strategy_settings(strategy))
    assert [labels.series_id for labels in mined] == [2]


seen = st.builds(
    Seen,
    x=st.integers(0, 12).map(lambda n: 10.0 * n),
    grid=st.builds(lambda first, length: range(first, first + length), st.integers(0, 10), st.integers(1, 8)),
    scores=st.dictionaries(
        st.sampled_from(("universal", "lung", "liver")), st.integers(1, 20).map(lambda n: n / 20), min_size=1
    ),
    look=st.integers(0, 90).map(float),
)
marks = st.lists(
    st.builds(annotation, st.integers(1, 99), st.integers(0, 12).map(lambda n: 10.0 * n), st.integers(0, 20)),
    max_size=3,
    unique_by=lambda mark: mark.id,
)


@settings(deadline=None, max_examples=25)
@given(st.lists(seen, max_size=6), marks, st.lists(seen, max_size=4), st.sampled_from((1.0, 2.0, 5.0)))
@pytest.mark.parametrize("strategy", MiningStrategy)
def test_labels_keep_every_annotation_and_stay_within_the_series(
    strategy: MiningStrategy,
    first: list[Seen],
    notes: list[AnnotationOnSeries],
    second: list[Seen],
    slice_mm: float,
) -> None:
    one = replace(series(first, tuple(notes), number=1, slice_mm=slice_mm), augmented=(proposals(first, slice_mm),) * 3)
    inputs = [one, copied(series(second, number=2, slice_mm=slice_mm))]
    mined = mine_labels(inputs, strategy_settings(strategy))
    assert [labels.series_id for labels in mined] == [1, 2]
    for labels in mined:
        check_form(labels)
    kept = [label for label in mined[0].positives if label.rule is LabelRule.ANNOTATION]
    assert [label.slices for label in kept] == [note.slices for note in notes]
    assert mine_labels(inputs, strategy_settings(strategy)) == mined


def check_form(labels: MinedLabels) -> None:
    for label in (*labels.positives, *labels.ignored):
        indices = [section.slice_index for section in label.slices]
        assert indices == sorted(set(indices))
        assert all(0 <= index < 60 for index in indices)
    negatives = [item.slice_index for item in labels.negatives]
    assert negatives == sorted(set(negatives))
    assert not labels.positive_slices & set(negatives)


@pytest.mark.parametrize("chosen", [LensSettings(), MeldSettings()])
def test_a_strategy_gives_the_same_with_the_embeddings_it_asks_for_alone(chosen: LensSettings | MeldSettings) -> None:
    seen = [
        Seen(0, range(4, 9), {"universal": 0.6}, look=1),
        Seen(100, range(20, 26), {"universal": 0.4}, look=3),
        Seen(200, range(30, 31), {"universal": 0.02}, look=2),
    ]
    marked = [series(seen, (MARK,), number=1, patient=1), series(seen, (), number=2, patient=1)]
    inputs = [*marked, series(seen, (annotation(9, 100, 22, look=40),), number=3, patient=2)]
    sparse = []
    for one in inputs:
        rows = rows_to_embed(one, chosen)
        assert len(rows) < len(one.proposals.embeddings)
        boxes = with_embeddings(one.proposals, rows, one.proposals.embeddings[rows])
        sparse.append(replace(one, proposals=boxes))
    matching = {LabelRule.INTRA_PATIENT, LabelRule.ANNOTATION_MATCHING}
    labels = mine_labels(inputs, chosen)
    assert matching & {label.rule for part in labels for label in part.positives}
    assert mine_labels(sparse, chosen) == labels
    assert calibrate_distance_limit(sparse, chosen.rules) == calibrate_distance_limit(inputs, chosen.rules)


@pytest.mark.parametrize("strategy", [MiningStrategy.NONE, MiningStrategy.WANG, MiningStrategy.DISTILLATION])
def test_a_strategy_that_matches_nothing_asks_for_no_embedding(strategy: MiningStrategy) -> None:
    chosen: StrategySettings = strategy_settings(strategy)
    assert len(rows_to_embed(series([Seen(0, range(4, 9), {"universal": 0.6}, look=1)]), chosen)) == 0
