import hashlib
import json
import resource
import signal

import pytest
import torch
from safetensors.torch import load_file, save_file

from lens_engine.checkpoint_card import CARD_NAME, WEIGHTS_NAME, CheckpointCard, TrainedOn, read_card
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lens_engine.detector.config import ProposalKind, narrow_lens
from lens_engine.detector.inference.predict import detect
from lens_engine.errors import CheckpointError, ExportError

CARD = CheckpointCard(trained_on=TrainedOn.PHANTOMS, notice="not patients", metrics={"loss": 0.5})


@pytest.fixture
def checkpoint(tmp_path, tiny_detector):
    save_checkpoint(tiny_detector, CARD, tmp_path / "v1")
    return tmp_path / "v1"


def rewrite_card(folder, **changes):
    card = json.loads((folder / CARD_NAME).read_text())
    (folder / CARD_NAME).write_text(json.dumps(card | changes))


def rewrite_weights(folder, change):
    """Change the weights and let the card agree with the file, so that only its content is wrong."""
    tensors = load_file(folder / WEIGHTS_NAME)
    change(tensors)
    save_file(tensors, folder / "other")
    (folder / "other").replace(folder / WEIGHTS_NAME)
    with pytest.raises(CheckpointError, match="digest"):
        load_checkpoint(folder)
    rewrite_card(folder, weights_digest=_digest_of(folder))


def _digest_of(folder):
    return hashlib.sha256((folder / WEIGHTS_NAME).read_bytes()).hexdigest()


def test_a_loaded_detector_finds_the_same_boxes(checkpoint, tiny_detector, make_volume):
    loaded, card = load_checkpoint(checkpoint)
    assert (card.experts, card.notice, card.is_demo) == (tiny_detector.config.experts, "not patients", True)
    assert not loaded.training
    assert detect(loaded, make_volume(4)).findings == detect(tiny_detector, make_volume(4)).findings


def test_half_precision_halves_the_file_and_loads_as_single(tmp_path):
    model = LensDetector(narrow_lens(("universal", "lung", "liver", "lymph node")))
    card = save_checkpoint(model, CARD, tmp_path, dtype=torch.float16)
    assert (tmp_path / WEIGHTS_NAME).stat().st_size < 2_000_000
    assert card.parameter_count == sum(parameter.numel() for parameter in model.parameters())
    assert {parameter.dtype for parameter in load_checkpoint(tmp_path)[0].parameters()} == {torch.float32}


def test_the_card_that_was_written_is_returned_and_read(tmp_path, tiny_detector):
    written = save_checkpoint(tiny_detector, CARD, tmp_path)
    assert read_card(tmp_path) == written
    assert sorted(path.name for path in tmp_path.iterdir()) == [CARD_NAME, WEIGHTS_NAME]


def test_a_missing_and_a_foreign_parameter_are_named(checkpoint):
    def change(tensors):
        tensors["head.fc8.weight"] = tensors.pop("head.fc7.weight")

    rewrite_weights(checkpoint, change)
    with pytest.raises(CheckpointError, match=r"head\.fc7\.weight is missing, head\.fc8\.weight is unknown"):
        load_checkpoint(checkpoint)


def test_a_parameter_of_another_shape_is_named(checkpoint):
    rewrite_weights(checkpoint, lambda tensors: tensors.update({"head.fc7.bias": torch.zeros(3)}))
    with pytest.raises(CheckpointError, match=r"head\.fc7\.bias is \(3,\) instead of \(10,\)"):
        load_checkpoint(checkpoint)


def test_a_card_of_another_configuration_is_refused(checkpoint, tiny_config):
    config = tiny_config.model_copy(update={"experts": ("universal", "lung", "liver")})
    rewrite_card(checkpoint, config=config.model_dump(mode="json"), experts=config.experts)
    with pytest.raises(CheckpointError, match=r"proposers\.2.* is missing and .* more"):
        load_checkpoint(checkpoint)


ASSEMBLIES = [(kind, has_head) for kind in ProposalKind for has_head in (True, False)]


def config_with(config, kind, has_head):
    proposal = config.proposal.model_copy(update={"kind": kind})
    return config.model_copy(update={"proposal": proposal, "head": config.head if has_head else None})


@pytest.mark.parametrize(("kind", "has_head"), ASSEMBLIES)
def test_every_assembly_is_kept_with_its_configuration(tmp_path, tiny_config, kind, has_head):
    model = LensDetector(config_with(tiny_config, kind, has_head))
    save_checkpoint(model, CARD, tmp_path)
    loaded, _ = load_checkpoint(tmp_path)
    assert loaded.config == model.config
    state = loaded.state_dict()
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "has_head", "difference"),
    [
        (ProposalKind.RPN, True, r"proposers\.0\.deltas\.bias is missing"),
        (ProposalKind.FCOS, True, r"proposers\.0\.classes\.0\.bias is missing"),
        (ProposalKind.CENTERNET, True, r"proposers\.0\.heat\.0\.bias is missing"),
        (ProposalKind.AFP, False, r"classifiers\.0\.bias is unknown"),
    ],
)
def test_weights_of_another_kind_of_network_are_refused(checkpoint, tiny_config, kind, has_head, difference):
    config = config_with(tiny_config, kind, has_head)
    rewrite_card(checkpoint, config=config.model_dump(mode="json"))
    with pytest.raises(CheckpointError, match=rf"{difference}.* more"):
        load_checkpoint(checkpoint)


def test_an_unknown_kind_of_network_is_named_with_those_that_exist(checkpoint, tiny_config):
    config = tiny_config.model_dump(mode="json")
    rewrite_card(checkpoint, config=config | {"proposal": {"kind": "retinanet"}})
    with pytest.raises(CheckpointError, match=r"proposal\.kind.*'afp', 'rpn', 'fcos' or 'centernet'"):
        load_checkpoint(checkpoint)


def test_experts_that_disagree_within_the_card_are_refused(checkpoint):
    rewrite_card(checkpoint, experts=["liver", "lung"])
    with pytest.raises(CheckpointError, match="'liver', 'lung'"):
        load_checkpoint(checkpoint)


def test_a_configuration_of_another_version_is_refused(checkpoint):
    rewrite_card(checkpoint, config={"experts": ["universal", "lung"], "depth": 3})
    with pytest.raises(CheckpointError, match="depth"):
        load_checkpoint(checkpoint)


def test_weights_that_are_no_safetensors_are_never_unpickled(checkpoint):
    torch.save({"a": torch.zeros(1)}, checkpoint / WEIGHTS_NAME)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(checkpoint)


def test_a_card_without_weights_is_refused(checkpoint):
    (checkpoint / WEIGHTS_NAME).unlink()
    with pytest.raises(CheckpointError, match="No such file"):
        load_checkpoint(checkpoint)


def test_weights_that_are_not_finite_are_not_stored(tmp_path, tiny_detector):
    with torch.no_grad():
        tiny_detector.head.fc6.bias[0] = 1e9
    with pytest.raises(CheckpointError, match=r"head\.fc6\.bias .*float16"):
        save_checkpoint(tiny_detector, CARD, tmp_path / "new", dtype=torch.float16)
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_detector):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="writable folder"):
        save_checkpoint(tiny_detector, CARD, tmp_path / "file" / "v1")


def test_a_full_disk_leaves_no_card(tiny_detector, tmp_path):
    """The card is written last: whatever stops the weights, the folder does not look like a checkpoint."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ExportError, match="cannot be written"):
            save_checkpoint(tiny_detector, CARD, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []
