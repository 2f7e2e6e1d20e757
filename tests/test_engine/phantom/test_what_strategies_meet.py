"""What tells mining strategies apart is in the phantoms: distractors, siblings, follow-ups, missing marks, scopes."""

from collections import Counter

import numpy as np
import pytest

from lens_engine.phantom.lesions import LesionPlan
from lens_engine.phantom.patient import (
    DATASETS,
    UNIVERSAL,
    VAL_SEEDS,
    PatientBody,
    PhantomSettings,
    draw_body,
    draw_scans,
)

SETTINGS = PhantomSettings(studies=2, withheld_share=0.5)
SEEDS = VAL_SEEDS[:20]


@pytest.fixture(scope="module")
def bodies() -> dict[int, PatientBody]:
    return {seed: draw_body(seed, UNIVERSAL, SETTINGS) for seed in SEEDS}


def labelled(seed: int, body: PatientBody) -> list[frozenset[str]]:
    return [scan.labelled for scan in draw_scans(body, seed, UNIVERSAL, SETTINGS)]


def gap(first: LesionPlan, second: LesionPlan) -> float:
    return float(np.linalg.norm(np.subtract(first.centre, second.centre)))


def test_every_patient_has_healthy_places_that_look_like_lesions(bodies: dict[int, PatientBody]) -> None:
    for body in bodies.values():
        assert len(body.look_alikes) >= 3
        assert not {plan.key for plan in body.look_alikes} & {plan.key for plan in body.lesions}
        nodes = [plan for plan in body.look_alikes if plan.key.startswith("normal node")]
        assert all(max(node.diameters_mm) < 10 for node in nodes), "only its size tells a normal node"
    kinds = Counter(plan.key.rsplit("-", 1)[0] for body in bodies.values() for plan in body.look_alikes)
    assert set(kinds) == {"normal node", "liver cyst", "kidney cyst", "calcified granuloma", "bone island"}


def test_look_alikes_lie_in_the_organs_of_single_type_data_sets_and_do_not_change(
    bodies: dict[int, PatientBody],
) -> None:
    plans = [plan for body in bodies.values() for plan in body.look_alikes]
    assert {plan.lesion_type.value for plan in plans} >= set(DATASETS) - {UNIVERSAL}
    assert all(len(set(plan.diameters_mm)) == 1 for plan in plans)


def test_many_patients_have_several_lesions_of_one_type_that_a_match_must_not_confuse(
    bodies: dict[int, PatientBody],
) -> None:
    siblings = [max(Counter(plan.lesion_type for plan in body.lesions).values()) for body in bodies.values()]
    assert np.mean([count >= 2 for count in siblings]) >= 0.5
    for body in bodies.values():
        assert all(
            gap(first, second) >= (max(first.diameters_mm) + max(second.diameters_mm)) / 2
            for row, first in enumerate(body.lesions)
            for second in body.lesions[:row]
        )


def test_lesions_change_between_the_studies_of_a_patient(bodies: dict[int, PatientBody]) -> None:
    changes = np.array(
        [plan.diameters_mm[1] / plan.diameters_mm[0] - 1 for body in bodies.values() for plan in body.lesions]
    )
    assert (changes > 0.1).any()
    assert (changes < -0.1).any()
    for seed, body in bodies.items():
        first, second = draw_scans(body, seed, UNIVERSAL, SETTINGS)
        assert first.study_date < second.study_date
        assert first.shift_mm != second.shift_mm
        assert first.noise_seed != second.noise_seed


def test_lesions_are_marked_in_one_study_and_not_in_the_other_in_both_and_in_none(
    bodies: dict[int, PatientBody],
) -> None:
    marks = Counter(
        sum(plan.key in keys for keys in labelled(seed, body)) for seed, body in bodies.items() for plan in body.lesions
    )
    assert all(marks[count] >= 10 for count in (0, 1, 2)), "a strategy can win and lose by matching"


def test_what_single_type_experts_cannot_know_is_withheld_too(bodies: dict[int, PatientBody]) -> None:
    withheld = Counter(
        plan.lesion_type.value in DATASETS
        for seed, body in bodies.items()
        for keys in labelled(seed, body)
        for plan in body.lesions
        if plan.key not in keys
    )
    assert min(withheld[True], withheld[False]) >= 20


@pytest.mark.parametrize("dataset", DATASETS[1:])
def test_a_single_type_data_set_marks_all_of_its_type_and_nothing_else(dataset: str) -> None:
    others = 0
    for seed in SEEDS[:8]:
        body = draw_body(seed, dataset, SETTINGS)
        own = {plan.key for plan in body.lesions if plan.lesion_type.value == dataset}
        assert all(scan.labelled == own for scan in draw_scans(body, seed, dataset, SETTINGS))
        others += len(body.lesions) - len(own)
    assert others >= 8
