import hashlib
import re

import pytest
import torch
from safetensors.torch import save_file
from support.files.densenet121_weights import densenet121

from lens_engine.detector.checkpoints.imagenet import (
    ImagenetReport,
    download_imagenet,
    load_imagenet,
    load_imagenet_file,
)
from lens_engine.detector.config import BackboneConfig, narrow_lens
from lens_engine.detector.network.backbone import DenseTrunk
from lens_engine.errors import CheckpointError

USED = ImagenetReport(used=435, ignored=171)
"""42 layers of 10 tensors, 3 times 5 of stem and transitions; behind them 16 layers, 5 of a transition, and 6."""


def as_published_file(state):
    """Return the same state with the names of the older file: no counters, and `norm.1` instead of `norm1`."""
    return {
        re.sub(r"(denselayer\d+)\.(norm|conv)([12])\.", r"\1.\2.\3.", name): tensor
        for name, tensor in state.items()
        if "num_batches" not in name
    }


@pytest.fixture(scope="module")
def published():
    return densenet121()


@pytest.fixture
def trunk():
    return DenseTrunk(BackboneConfig())


def assert_has(trunk, state):
    own = {name: tensor for name, tensor in trunk.state_dict().items() if "num_batches" not in name}
    assert len(own) == USED.used
    assert all(torch.equal(tensor, state[name]) for name, tensor in own.items())


def test_the_imitation_has_the_size_of_the_published_network(published):
    learnt = [tensor for name, tensor in published.items() if "running" not in name and "num_batches" not in name]
    assert sum(tensor.numel() for tensor in learnt) == 7_978_856
    assert len(published) == 727


@pytest.mark.parametrize("write", [torch.save, save_file], ids=["pth", "safetensors"])
@pytest.mark.parametrize("names", [dict, as_published_file], ids=["today", "legacy"])
def test_a_file_with_either_names_fills_the_trunk(trunk, published, tmp_path, write, names):
    path = tmp_path / ("weights.safetensors" if write is save_file else "weights.pth")
    write(names(published), path)
    assert load_imagenet_file(trunk, path) == USED
    assert_has(trunk, published)


def test_a_file_in_torchs_oldest_format_is_read(trunk, published, tmp_path):
    """The published file is older than torch's zip format."""
    path = tmp_path / "densenet121.pth"
    torch.save(as_published_file(published), path, _use_new_zipfile_serialization=False)
    assert load_imagenet_file(trunk, path) == USED
    assert_has(trunk, published)


def test_batch_normalisation_goes_on_learning(trunk, published):
    """Algorithms 2, step 8."""
    load_imagenet(trunk.train(), published, "memory")
    before = trunk.features.norm0.running_mean.clone()
    trunk.triplet_maps(torch.randn(2, 3, 32, 32)).transition2.sum().backward()
    assert trunk.features.norm0.weight.grad.abs().sum() > 0
    assert not torch.equal(trunk.features.norm0.running_mean, before)


def test_the_published_file_is_downloaded_once(trunk, published, tmp_path):
    torch.save(published, tmp_path / "weights")
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()[:8]
    source = (tmp_path / "weights").rename(tmp_path / f"densenet121-{digest}.pth")
    assert download_imagenet(trunk, tmp_path / "cache", source.as_uri()) == USED
    assert_has(trunk, published)
    source.unlink()
    assert download_imagenet(DenseTrunk(BackboneConfig()), tmp_path / "cache", source.as_uri()) == USED


def test_a_download_that_fails_names_the_address_and_a_way_out(trunk, tmp_path):
    url = (tmp_path / "densenet121-a639ec97.pth").as_uri()
    with pytest.raises(CheckpointError, match=rf"{url} cannot be downloaded.*another machine"):
        download_imagenet(trunk, tmp_path / "cache", url)


def test_a_download_with_other_content_is_refused(trunk, published, tmp_path):
    source = tmp_path / "densenet121-a639ec97.pth"
    torch.save({"a": torch.zeros(1)}, source)
    with pytest.raises(CheckpointError, match="hash"):
        download_imagenet(trunk, tmp_path / "cache", source.as_uri())


def changed(state, **changes):
    return {name: tensor for name, tensor in (state | changes).items() if tensor is not None}


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("features.conv0.weight", None, r"features\.conv0\.weight is missing"),
        ("features.conv0.weight", torch.zeros(64, 1, 7, 7), r"\(64, 1, 7, 7\) instead of \(64, 3, 7, 7\)"),
        ("features.norm0.bias", torch.full((64,), torch.nan), r"features\.norm0\.bias is not finite"),
        ("layer1.0.conv1.weight", torch.zeros(1), r"layer1\.0\.conv1\.weight is unknown"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_change_nothing(trunk, published, name, tensor, message):
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_imagenet(trunk, changed(published, **{name: tensor}), "memory")
    assert all(torch.equal(value, before[key]) for key, value in trunk.state_dict().items())


def test_a_narrow_trunk_is_refused_with_what_is_narrow(published):
    with pytest.raises(CheckpointError, match=r"stem is 32 instead of 64, growth is 16 instead of 32, blocks"):
        load_imagenet(DenseTrunk(narrow_lens(("lung",)).backbone), published, "memory")


def test_another_width_of_the_feature_map_is_no_matter_of_the_trunk(published):
    assert load_imagenet(DenseTrunk(BackboneConfig(fpn_channels=64)), published, "memory") == USED
