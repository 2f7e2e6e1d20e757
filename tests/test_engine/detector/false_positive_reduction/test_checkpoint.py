from pathlib import Path

import pytest
import torch

from lens_engine.checkpoint_card import CheckpointCard, NetworkKind, TrainedOn, demo_checkpoint_folder, read_card
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network, save_network
from lens_engine.errors import CheckpointError

CARD = CheckpointCard(trained_on=TrainedOn.PHANTOMS, parent="detector-7")
PATCHES = torch.randn(2, 1, 4, 32, 24, generator=torch.Generator().manual_seed(0)) * 50
BOXES = torch.tensor([[8.0, 10, 1, 16, 22, 3], [2, 3, 0, 20, 30, 4]])


def test_a_loaded_network_says_the_same(tmp_path: Path, tiny_network):
    written = save_network(tiny_network, CARD, tmp_path)
    loaded, card = load_network(tmp_path)
    assert card == written == read_card(tmp_path)
    assert (card.network, card.parent, card.experts) == (NetworkKind.FALSE_POSITIVE_REDUCTION, "detector-7", ())
    assert card.parameter_count == sum(parameter.numel() for parameter in tiny_network.parameters())
    assert loaded.config == tiny_network.config
    assert not loaded.training
    assert torch.equal(loaded(PATCHES, BOXES), tiny_network(PATCHES, BOXES))


def test_half_precision_loads_as_single(tmp_path: Path, tiny_network):
    save_network(tiny_network, CARD, tmp_path, dtype=torch.float16)
    loaded, _ = load_network(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    torch.testing.assert_close(loaded(PATCHES, BOXES), tiny_network(PATCHES, BOXES), rtol=0.01, atol=0.01)


def test_a_detector_is_no_false_positive_reduction_and_the_other_way_round(tmp_path: Path, tiny_network):
    save_network(tiny_network, CARD, tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a false-positive reduction network.*detector network is needed"):
        load_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds a detector network.*false-positive reduction network is needed"):
        load_network(demo_checkpoint_folder())


def test_weights_of_another_configuration_are_refused(tmp_path: Path, tiny_network):
    card = save_network(tiny_network, CARD, tmp_path)
    wider = card.config | {"fc_width": 6}
    (tmp_path / "card.json").write_text(card.model_copy(update={"config": wider}).model_dump_json())
    with pytest.raises(CheckpointError, match=r"classifier\.weight is \(1, 20\) instead of \(1, 24\)"):
        load_network(tmp_path)
