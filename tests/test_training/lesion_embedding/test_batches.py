from collections import Counter

import numpy as np
import pytest
import torch
from support.training.embedding_looks import CONFIG, ONTOLOGY, RECIPE, look_at, scans
from support.training.training_scenes import Ball

from lens_training.errors import TrainingError
from lens_training.lesion_embedding.batches import LookBatches, LookPlan
from lens_training.lesion_embedding.likeness import likeness_of_terms
from lens_training.lesion_embedding.patch_file import record_type
from lens_training.recipes.lesion_embedding import Likeness

LOOKS = tuple(look for scan in scans() for look in scan.looks)
MANY = tuple(
    look_at(Ball(10, 10, 5, 8), f"lesion {n}", f"scan {scan}", offset)
    for n in range(7)
    for scan in range(1 + n % 3)
    for offset in (0, 1)
)


def test_an_epoch_shows_every_lesion_once_but_for_those_that_do_not_fill_a_batch():
    plan = LookPlan(MANY, RECIPE, seed=0)
    assert (plan.batches_per_epoch, plan.steps) == (3, 12)
    for epoch in range(2):
        seen = [MANY[row].lesion for step in range(3) for row in plan.batch(3 * epoch + step)]
        assert set(Counter(seen).values()) == {2}
        assert len(set(seen)) == 6


def test_looks_at_one_lesion_are_from_different_scans_where_there_are_several():
    plan = LookPlan(MANY, RECIPE, seed=0)
    for step in range(plan.steps):
        rows = plan.batch(step).reshape(-1, 2)
        for one, other in rows:
            assert MANY[one].lesion == MANY[other].lesion
            is_in_one_scan = int(MANY[one].lesion.split()[1]) % 3 == 0
            assert (MANY[one].scan == MANY[other].scan) == is_in_one_scan


def test_a_batch_depends_on_seed_and_step_alone():
    plan, again, other = (LookPlan(MANY, RECIPE, seed) for seed in (0, 0, 1))
    again.batch(7)
    np.testing.assert_array_equal(plan.batch(5), again.batch(5))
    assert any((plan.batch(step) != other.batch(step)).any() for step in range(3))


def test_lesions_that_do_not_fill_a_batch_are_named():
    with pytest.raises(TrainingError, match=r"show 4 lesions.*A batch has 8"):
        LookPlan(LOOKS, RECIPE.model_copy(update={"batch_size": 16}), 0)


def batch_of(**changes: object):
    records = np.zeros(len(LOOKS), dtype=record_type(CONFIG))
    records["pixels"] = np.random.default_rng(0).normal(0, 50, records["pixels"].shape)
    records["box"] = [4, 5, 11, 12]
    recipe = RECIPE.model_copy(update=changes)
    plan = LookPlan(LOOKS, recipe, 0)
    return records[plan.batch(1)], LookBatches(records, LOOKS, ONTOLOGY, plan)[1]


def test_without_augmentation_a_batch_holds_the_patches_of_the_file():
    records, batch = batch_of()
    np.testing.assert_array_equal(batch.pixels.numpy(), records["pixels"].astype(np.float32))
    np.testing.assert_array_equal(batch.boxes.numpy(), records["box"])
    assert batch.said.sum(dim=1).tolist() == [1] * 4
    assert batch.is_reliable.tolist() == [[1, 1]] * 4
    assert torch.equal(batch.likeness.diagonal(), torch.ones(4))


def test_a_moved_patch_moves_its_box_and_repeats_what_it_uncovers():
    records, batch = batch_of(shift=2)
    for record, pixels, box in zip(records, batch.pixels.numpy(), batch.boxes.numpy(), strict=True):
        dx, dy = (box - record["box"])[:2].astype(int)
        x, y = 8, 8
        assert pixels[1, y + dy, x + dx] == np.float32(record["pixels"][1, y, x])
    assert not np.array_equal(batch.boxes.numpy(), records["box"])


def test_edges_of_boxes_vary_by_a_share_of_their_sides_and_intensities_by_noise():
    records, batch = batch_of(box_jitter=0.1, noise=3.0)
    moved = np.abs(batch.boxes.numpy() - records["box"])
    assert 0 < moved.max() <= 0.7
    differences = batch.pixels.numpy() - records["pixels"].astype(np.float32)
    assert 2 < differences.std() < 6


def test_with_terms_lesions_are_alike_by_them():
    _, batch = batch_of(likeness=Likeness.TERMS)
    torch.testing.assert_close(batch.likeness, likeness_of_terms(batch.said))
