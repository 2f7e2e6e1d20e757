import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.training.objective_cases import GRID, SIDE, Scene, boxes, initial_scene_of, network_of, random, scene_of
from torch import Tensor

from lens_engine.detector.config import ProposalKind
from lens_training.datasets.labels import SliceLabels
from lens_training.detector.objectives.base import ProposalObjective
from lens_training.detector.objectives.build import proposal_objective

SCENES = {kind: scene_of(kind) for kind in ProposalKind}
FAR_LESION = boxes((44, 44, 58, 60))
PLACE = boxes((8, 8, 36, 40))
FOCAL_HIT, FOCAL_MISS = 0.99**2 * math.log(100), 0.01**2 * -math.log(0.99)
"""What a positive and a negative cost at a probability of 0.01."""

every_kind = pytest.mark.parametrize("kind", ProposalKind)
ignored_places = pytest.mark.parametrize(
    ("role", "share"), [("unsure", 1.0), ("uncertain", 0.5)], ids=["unsure", "uncertain"]
)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@every_kind
def test_the_parts_of_the_loss_are_those_that_have_a_weight(kind: ProposalKind):
    scene = SCENES[kind]
    assert list(scene.losses(SliceLabels(lesions=FAR_LESION))) == list(scene.objective.WEIGHTS)


@every_kind
@ignored_places
def test_what_a_network_says_in_an_ignored_place_changes_nothing(kind: ProposalKind, role: str, share: float):
    scene, labels = SCENES[kind], SliceLabels(lesions=FAR_LESION, **{role: PLACE})
    inside = torch.from_numpy(GRID.inside(PLACE[0], share))
    changed = scene.with_outputs(*(torch.where(inside, output + 3, output) for output in scene.outputs))
    for seed in range(10):
        before, after = scene.losses(labels, seed), changed.losses(labels, seed)
        assert before == after
        for gradient in scene.gradients(labels, seed):
            assert (gradient[:, inside] == 0).all()


@every_kind
def test_what_a_network_says_in_a_place_without_a_label_does_change_the_loss(kind: ProposalKind):
    scene, inside = SCENES[kind], torch.from_numpy(GRID.inside(PLACE[0], 0.5))
    seen = sum(scene.gradients(SliceLabels(lesions=FAR_LESION), seed)[0].abs().sum(dim=0) for seed in range(10))
    assert (seen[inside] > 0).any()


@every_kind
@pytest.mark.parametrize("size", [(40, 64), (64, 50), (34, 45)])
@pytest.mark.parametrize("labels", [SliceLabels(), SliceLabels(lesions=boxes((8, 8, 30, 32)))], ids=["none", "lesion"])
def test_what_a_network_says_in_the_padding_beside_an_image_changes_nothing(
    kind: ProposalKind, size: tuple[int, int], labels: SliceLabels
):
    scene = replace(SCENES[kind], size=size)
    beside = torch.from_numpy((GRID.y > size[0]) | (GRID.x > size[1]))
    changed = scene.with_outputs(*(torch.where(beside, output + 3, output) for output in scene.outputs))
    for seed in range(10):
        assert scene.losses(labels, seed) == changed.losses(labels, seed)
        gradients = scene.gradients(labels, seed)
        assert all((gradient[:, beside] == 0).all() for gradient in gradients)
        assert (gradients[0][:, ~beside] != 0).any()


@pytest.mark.parametrize("kind", [ProposalKind.AFP, ProposalKind.FCOS, ProposalKind.CENTERNET])
def test_a_lesion_has_a_positive_although_the_point_of_its_cell_lies_beside_the_image(kind: ProposalKind):
    scene = replace(SCENES[kind], size=(33, 37))  # the last cells' points lie at 34 and 38
    assert _has_positive(scene, SliceLabels(lesions=boxes((36, 32, 37, 33))))


@every_kind
@pytest.mark.parametrize("mined_too", [False, True])
def test_a_rejected_candidate_is_a_negative(kind: ProposalKind, mined_too: bool):
    labels = SliceLabels(rejected=PLACE, uncertain=PLACE if mined_too else boxes())
    for seed in range(5):
        gradient = SCENES[kind].gradients(labels, seed)[0][:, torch.from_numpy(GRID.inside(PLACE[0], 0.5))]
        assert (gradient > 0).any()
        assert not (gradient < 0).any()


@every_kind
def test_a_rejected_place_alone_lowers_scores_there_and_teaches_nothing_else(kind: ProposalKind):
    labels = SliceLabels(foreign=FAR_LESION, uncertain=PLACE, rejected=PLACE)
    inside = torch.from_numpy(GRID.inside(PLACE[0], 1.0))
    for seed in range(5):
        scores, *others = SCENES[kind].certain_gradients(labels, seed)
        assert (scores[:, inside] >= 0).all()
        assert (scores[:, inside] > 0).any()
        assert (scores[:, ~inside] == 0).all()
        assert all((gradient == 0).all() for gradient in others)


@pytest.mark.parametrize("kind", [ProposalKind.AFP, ProposalKind.FCOS, ProposalKind.CENTERNET])
def test_a_rejected_place_weighs_the_same_for_an_expert_of_another_data_set(kind: ProposalKind):
    lesion = boxes((30, 30, 60, 62))  # overlaps the place
    own = SCENES[kind].gradients(SliceLabels(lesions=lesion, rejected=PLACE))[0]
    other = SCENES[kind].certain_gradients(SliceLabels(foreign=lesion, rejected=PLACE))[0]
    learnt = other != 0
    assert learnt.any()
    torch.testing.assert_close(other[learnt], own[learnt])


@every_kind
@pytest.mark.parametrize("place", [(21.0, 30.0, 23.5, 33.0), (0.5, 0.5, 3.0, 3.0)])
def test_a_rejected_place_smaller_than_a_cell_is_learnt_as_well(kind: ProposalKind, place: tuple[float, ...]):
    gradient = SCENES[kind].certain_gradients(SliceLabels(rejected=boxes(place)))[0]
    assert (gradient > 0).any()


@every_kind
@pytest.mark.parametrize("role", ["foreign", "unsure"])
def test_a_lesion_of_another_expert_or_an_unsure_place_lies_over_a_rejected_one(kind: ProposalKind, role: str):
    labels = SliceLabels(rejected=PLACE, **{role: PLACE})
    assert (SCENES[kind].certain_gradients(labels)[0] == 0).all()


@every_kind
def test_a_lesion_of_another_expert_teaches_nothing_in_its_whole_box(kind: ProposalKind):
    scene, inside = SCENES[kind], torch.from_numpy(GRID.inside(PLACE[0], 1.0))
    for seed in range(10):
        gradients = scene.gradients(SliceLabels(lesions=FAR_LESION, foreign=PLACE), seed)
        assert all((gradient[:, inside] == 0).all() for gradient in gradients)
        assert (gradients[0][:, ~inside] != 0).any()


@every_kind
@pytest.mark.parametrize("beside", [SliceLabels(), SliceLabels(foreign=FAR_LESION, uncertain=PLACE)])
def test_a_lesion_alone_raises_scores_there_and_teaches_nothing_elsewhere(kind: ProposalKind, beside: SliceLabels):
    labels = replace(beside, lesions=PLACE)
    inside = torch.from_numpy(GRID.inside(PLACE[0], 1.0))
    for seed in range(5):
        scores, *others = SCENES[kind].certain_gradients(labels, seed)
        assert (scores <= 0).all()
        assert (scores[:, inside] < 0).any()
        assert any((gradient != 0).any() for gradient in others)
        if kind is not ProposalKind.RPN:  # whose anchors are centred around the place as well
            assert all((gradient[:, ~inside] == 0).all() for gradient in (scores, *others))


@every_kind
def test_a_lesion_weighs_the_same_for_an_expert_of_another_data_set(kind: ProposalKind):
    """One of two lesions is the other expert's, too: its boxes and scores learn there as if the batch were its own."""
    small = boxes((44, 44, 56, 56))  # RPN: few enough to be sampled always, of both
    own = SCENES[kind].gradients(SliceLabels(lesions=np.concatenate([PLACE, small])))
    other = SCENES[kind].certain_gradients(SliceLabels(lesions=PLACE, foreign=small))
    for mine, others in zip(own, other, strict=True):
        learnt = others != 0
        assert learnt.any()
        torch.testing.assert_close(others[learnt], mine[learnt])


@every_kind
def test_lesions_and_rejected_places_are_learnt_together_as_they_are_alone(kind: ProposalKind):
    scene, lesion, rejected = SCENES[kind], boxes((40, 40, 62, 60)), boxes((4, 4, 24, 24))
    together = scene.certain_gradients(SliceLabels(lesions=lesion, rejected=rejected))[0]
    assert (together[:, torch.from_numpy(GRID.inside(lesion[0], 1.0))] < 0).any()
    assert (together[:, torch.from_numpy(GRID.inside(rejected[0], 1.0))] > 0).any()


@every_kind
def test_an_image_without_a_certain_place_costs_other_experts_nothing(kind: ProposalKind):
    scene = SCENES[kind]
    assert all(loss == 0 for loss in scene.certain_losses(SliceLabels(foreign=FAR_LESION)).values())
    assert set(scene.certain_losses(SliceLabels())) <= set(scene.objective.WEIGHTS)


@every_kind
def test_only_some_images_of_a_batch_need_maps_and_all_of_it_weighs_a_rejected_place(kind: ProposalKind):
    objective: ProposalObjective = proposal_objective(network_of(kind))
    outputs, rejected = SCENES[kind].outputs, SliceLabels(rejected=PLACE)
    labels, sizes = [SliceLabels(foreign=FAR_LESION), rejected], [(SIDE, SIDE)] * 2
    both = objective.certain_losses([torch.cat([map_, map_]) for map_ in outputs], [0, 1], labels, sizes, random())
    one = objective.certain_losses(outputs, [1], labels, sizes, random())
    assert one == both
    alone = objective.certain_losses(outputs, [0], [rejected], sizes[:1], random())
    (diluted,), (undiluted,) = one.values(), alone.values()
    assert 0 < diluted <= undiluted


@every_kind
@given(x=st.floats(0, SIDE - 4), y=st.floats(0, SIDE - 4), width=st.floats(4, SIDE), height=st.floats(4, SIDE))
@settings(max_examples=50)
def test_a_lesion_has_a_positive_wherever_it_lies_and_however_small_it_is(
    kind: ProposalKind, x: float, y: float, width: float, height: float
):
    lesion = boxes((x, y, min(x + width, SIDE), min(y + height, SIDE)))
    assert _has_positive(SCENES[kind], SliceLabels(lesions=lesion))


@every_kind
def test_a_lesion_has_a_positive_although_every_other_role_lies_on_it(kind: ProposalKind):
    assert _has_positive(SCENES[kind], SliceLabels(PLACE, unsure=PLACE, uncertain=PLACE, rejected=PLACE))


@every_kind
def test_an_image_without_any_label_teaches_only_that_there_is_nothing(kind: ProposalKind):
    scene = SCENES[kind]
    scores, *others = scene.gradients(SliceLabels())
    assert (scores >= 0).all()
    assert (scores > 0).any()
    assert all((gradient == 0).all() for gradient in others)


@every_kind
def test_the_losses_have_the_right_gradient(kind: ProposalKind):
    scene, labels = SCENES[kind], SliceLabels(lesions=boxes((9, 9, 27, 25)), uncertain=boxes((40, 40, 60, 60)))
    outputs = tuple(output.detach().double().requires_grad_() for output in scene.outputs)
    assert torch.autograd.gradcheck(
        lambda *values: tuple(scene.with_outputs(*values).losses(labels).values()), outputs, fast_mode=True
    )


@pytest.mark.parametrize(
    ("kind", "part", "expected"),
    [
        (ProposalKind.AFP, "centre", 0.5 * (FOCAL_HIT + (256 - 16) / 1 * FOCAL_MISS)),
        (ProposalKind.RPN, "objectness", math.log(2)),
        (ProposalKind.FCOS, "cells", 0.25 * FOCAL_HIT + 0.75 * (256 - 49) / 49 * FOCAL_MISS),
        (ProposalKind.FCOS, "centerness", math.log(2)),
        (ProposalKind.CENTERNET, "heat", FOCAL_HIT + 255 * FOCAL_MISS),
    ],
)
def test_a_new_network_begins_with_the_loss_of_its_priors(kind: ProposalKind, part: str, expected: float):
    labels = SliceLabels(lesions=boxes((20, 20, 48, 48)))  # 7 x 7 cells; one is its centre, 4 x 4 its central half
    assert initial_scene_of(kind).losses(labels)[part].item() == pytest.approx(expected, rel=1e-3)


@every_kind
def test_half_precision_is_lost_in_the_network_and_never_in_the_loss(kind: ProposalKind):
    scene, labels = SCENES[kind], SliceLabels(lesions=FAR_LESION)
    rounded = [output.detach().bfloat16() for output in scene.outputs]
    with torch.autocast("cpu", torch.bfloat16):
        found = scene.with_outputs(*rounded).losses(labels)
    expected = scene.with_outputs(*(output.float() for output in rounded)).losses(labels)
    assert found == expected
    assert all(part.dtype == torch.float32 for part in found.values())


@every_kind
def test_a_batch_counts_the_positives_of_all_its_images_together(kind: ProposalKind):
    """The empty half of a batch adds negatives but does not halve what the lesion of the other half says."""
    objective: ProposalObjective = proposal_objective(network_of(kind))
    outputs = [torch.cat([output, output]) for output in SCENES[kind].outputs]
    lesion = SliceLabels(lesions=FAR_LESION)
    sizes = [(SIDE, SIDE)] * 2

    def boxes_part(*labels: SliceLabels) -> Tensor:
        name = {ProposalKind.RPN: "anchor_boxes", ProposalKind.FCOS: "sides"}.get(kind, "size")
        return objective.losses(outputs, labels, sizes, random())[name]

    both, one = boxes_part(lesion, lesion), boxes_part(lesion, SliceLabels())
    factor = 2 if kind is ProposalKind.RPN else 1  # divided by all sampled anchors (algorithms 4.3)
    assert both.item() == pytest.approx(factor * one.item(), rel=1e-5)


def _has_positive(scene: Scene, labels: SliceLabels) -> bool:
    score_gradient = scene.gradients(labels)[0]
    return bool((score_gradient < 0).any()) and np.isfinite(score_gradient.numpy()).all()
