from pathlib import Path

import pytest

from lens_engine.errors import ConfigError
from lens_engine.lesion_embedding.config import narrow_embedding, published_embedding
from lens_training.recipes.files import recipe_names
from lens_training.recipes.lesion_embedding import (
    EmbeddingSize,
    Likeness,
    embedding_recipe_names,
    load_embedding_recipe,
)


def test_recipes_of_embeddings_are_no_recipes_of_detectors():
    names = embedding_recipe_names()
    assert names == ("deeplesion-without-reports", "lesanet", "phantom-embedding")
    assert not set(names) & set(recipe_names())
    assert [load_embedding_recipe(name).name for name in names] == list(names)


def test_lesanet_is_trained_as_published():
    recipe = load_embedding_recipe("lesanet")
    assert recipe.size.config(171) == published_embedding()
    assert recipe.likeness is Likeness.TERMS
    assert (recipe.epochs, recipe.batch_size, recipe.looks, recipe.momentum) == (15, 128, 1, 0.9)
    assert (recipe.triplets, recipe.margin, recipe.triplet_weight, recipe.hard_entries) == (5000, 0.1, 5, 10_000)
    rates = [recipe.schedule.learning_rate * recipe.schedule.factor(epoch, 15) for epoch in (0, 9, 10, 14)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert (recipe.schedule.weight_decay, recipe.schedule.gradient_clip) == (1e-4, 10)
    assert (recipe.shift, recipe.box_jitter, recipe.noise, recipe.nearness, recipe.gathers) == (0, 0, 0, None, False)


def test_the_one_that_ships_is_narrow_and_learns_from_several_studies():
    recipe = load_embedding_recipe("phantom-embedding")
    assert recipe.size is EmbeddingSize.NARROW
    assert recipe.size.config(6) == narrow_embedding(6)
    assert recipe.phantoms is not None
    assert recipe.phantoms.studies > 1


def test_an_unknown_name_and_a_wrong_field_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="One of deeplesion-without-reports, lesanet"):
        load_embedding_recipe("lesonet")
    path = tmp_path / "own.yaml"
    path.write_text("batch_size: 9\nlooks: 2\n")
    with pytest.raises(ConfigError, match="a multiple of looks, which is 2"):
        load_embedding_recipe(str(path))
    path.write_text("margins: 9\n")
    with pytest.raises(ConfigError, match=r"own\.yaml is wrong at margins"):
        load_embedding_recipe(str(path))
