import numpy as np
import pytest
import torch

from lens_engine.boxes import overlaps, pad_in_plane
from lens_engine.checkpoint_card import WEIGHTS_NAME, TrainedOn, demo_checkpoint_folder, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.config import DetectorConfig, narrow_lens
from lens_engine.detector.inference.predict import detect
from lens_engine.findings import FUSED
from lens_engine.phantom.patient import DATASETS, UNIVERSAL, VAL_SEEDS, make_patient
from lens_training.datasets.phantoms import validation_cases
from lens_training.recipes.files import load_recipe

LARGEST_BYTES = 2 * 2**20


def test_the_demo_model_is_small_enough_to_ship():
    assert (demo_checkpoint_folder() / WEIGHTS_NAME).stat().st_size <= LARGEST_BYTES


def test_its_card_fits_its_weights_and_the_code():
    model, card = load_checkpoint(demo_checkpoint_folder())
    assert model.config == DetectorConfig.model_validate(card.config) == narrow_lens(DATASETS)
    assert card.experts == DATASETS
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


def test_its_card_says_that_it_never_saw_a_patient():
    card = read_card(demo_checkpoint_folder())
    assert card.trained_on is TrainedOn.PHANTOMS
    assert card.notice == "Demo model trained on synthetic phantoms only, never on patients. Research use only."


def test_it_was_made_by_the_recipe_in_the_repository():
    card, recipe = read_card(demo_checkpoint_folder()), load_recipe("phantom-demo")
    assert (card.recipe, card.steps) == (recipe.name, recipe.steps)


def test_its_card_tells_a_sensitivity_that_is_useful_and_leaves_something_to_learn():
    metrics = read_card(demo_checkpoint_folder()).metrics
    assert 0.4 < metrics["fused average sensitivity IoBB 0.3"] < 0.9


def test_its_best_finding_in_a_phantom_that_it_never_saw_is_a_lesion():
    model, _ = load_checkpoint(demo_checkpoint_folder())
    series = make_patient(VAL_SEEDS[0], UNIVERSAL).series[0]
    findings = [finding for finding in detect(model, series.volume).findings if finding.expert == FUSED]
    best = max(findings, key=lambda finding: finding.score)
    truth = pad_in_plane(np.array([lesion.box for lesion in series.lesions]), 5)
    assert overlaps(np.array([best.box]), truth).max() > 0.3


@pytest.mark.slow
def test_its_patients_for_measuring_hold_every_lesion_with_the_margin_of_labels():
    recipe = load_recipe("phantom-demo").phantoms
    assert recipe is not None
    scan = next(validation_cases(recipe.model_copy(update={"val_patients": 1})))
    patient = make_patient(VAL_SEEDS[0], UNIVERSAL)
    assert len(scan.truth) == len(patient.series[0].lesions)
    tight = np.array([lesion.box for lesion in patient.series[0].lesions])
    np.testing.assert_allclose(scan.truth, pad_in_plane(tight, 5))
