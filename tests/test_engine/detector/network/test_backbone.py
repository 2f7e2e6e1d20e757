import numpy as np
import pytest
import torch
from torch import nn

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import ProposalKind, narrow_lens, published_lens
from lens_engine.detector.inference.shared_features import SharedBackbone
from lens_engine.detector.network.backbone import DenseBackbone, DenseTrunk
from lens_engine.detector.preprocess import prepare

FOUR = ("universal", "lung", "liver", "lymph node")


def slices_of(prepared):
    return prepared.network_slices(torch.device("cpu"))


def test_published_trunk_has_the_published_layers_and_size():
    trunk = DenseTrunk(published_lens(FOUR).backbone)
    assert sum(isinstance(module, nn.Conv2d) for module in trunk.modules()) == 87
    assert sum(parameter.numel() for parameter in trunk.parameters()) == pytest.approx(4.27e6, rel=0.002)
    assert trunk.channels == (256, 512, 1024)


def test_trunk_parameters_carry_the_names_of_the_published_weights():
    names = DenseTrunk(published_lens(FOUR).backbone).state_dict().keys()
    expected = {
        "features.conv0.weight",
        "features.norm0.running_var",
        "features.denseblock1.denselayer1.norm1.weight",
        "features.denseblock3.denselayer24.conv2.weight",
        "features.transition2.conv.weight",
    }
    assert expected <= names
    assert not any("block4" in name or "transition3" in name or "norm5" in name for name in names)


def test_published_detector_has_the_derived_number_of_parameters():
    with torch.device("meta"):
        model = LensDetector(published_lens(FOUR))
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(71.3e6, rel=0.002)


@pytest.mark.parametrize(
    ("kind", "two_stages", "millions"),
    [
        # Trunk 4.27, pyramid and fusions 1.90, head and outputs 55.66 (algorithms 3, 4.1), and the networks by their
        # layers:
        (ProposalKind.AFP, True, 4.27 + 1.90 + 55.66 + 4 * 2.361),
        (ProposalKind.RPN, True, 4.27 + 1.90 + 55.66 + 4 * 2.398),  # 512 * 512 * 9 + 512 * 75
        (ProposalKind.FCOS, True, 4.27 + 1.90 + 55.66 + 4 * 2.361),
        (ProposalKind.CENTERNET, True, 4.27 + 1.90 + 55.66 + 4 * 3.541),  # a third branch
        (ProposalKind.FCOS, False, 4.27 + 1.90 + 4 * 2.361),
    ],
)
def test_published_variants_have_the_parameters_of_their_layers(kind, two_stages, millions):
    with torch.device("meta"):
        model = LensDetector(published_lens(FOUR, kind, two_stages=two_stages))
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, rel=1e-3)


def test_narrow_detector_fits_two_megabytes_in_half_precision():
    with torch.device("meta"):
        model = LensDetector(narrow_lens(FOUR))
    assert 0.5e6 < sum(tensor.numel() for tensor in model.state_dict().values()) < 0.95e6


def test_linear_layers_begin_uniform_without_bias_and_the_inner_fusion_as_torch_makes_it():
    """Algorithms 3.1: Kaiming-uniform with a = 1 for laterals and last fusion."""
    torch.manual_seed(0)
    backbone = DenseBackbone(narrow_lens(FOUR).backbone)
    for layer in (*backbone.pyramid.laterals, backbone.last_fusion):
        bound = (3 / layer.in_channels) ** 0.5
        assert 0.98 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
    bound = backbone.inner_fusion.in_channels**-0.5
    assert 0.98 * bound < backbone.inner_fusion.weight.abs().max() <= bound
    assert backbone.inner_fusion.bias.any()


@pytest.mark.parametrize("slices", [1, 2, 3, 7, 11])
@pytest.mark.parametrize("chunk", [1, 3, 16])
def test_shared_features_equal_those_of_every_sample_alone(tiny_detector, make_volume, slices, chunk):
    """Algorithms 3.5, including the repeated slices at both ends."""
    model = tiny_detector.double()
    prepared = prepare(make_volume(slices), model.config)
    count = prepared.grid.count
    samples = torch.from_numpy(np.stack([prepared.sample(index) for index in range(count)])).double()
    with torch.inference_mode():
        chunks = list(SharedBackbone(model.backbone).stream(slices_of(prepared), count, chunk))
        expected = model.forward_features(samples)
    found = torch.cat([part.features for part in chunks])
    assert [part.first for part in chunks] == np.cumsum([0, *(len(part.features) for part in chunks)])[:-1].tolist()
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_shared_features_equal_the_reference_in_single_precision(tiny_detector, make_volume):
    prepared = prepare(make_volume(5), tiny_detector.config)
    count = prepared.grid.count
    samples = torch.from_numpy(np.stack([prepared.sample(index) for index in range(count)]))
    with torch.inference_mode():
        found = torch.cat(
            [c.features for c in SharedBackbone(tiny_detector.backbone).stream(slices_of(prepared), count, 4)]
        )
        expected = tiny_detector.forward_features(samples)
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_slices_are_asked_for_only_as_they_are_needed(tiny_detector, make_volume):
    prepared = prepare(make_volume(20), tiny_detector.config)
    count, asked = prepared.grid.count, []

    def slices():
        for index, image in enumerate(slices_of(prepared)):
            asked.append(index)
            yield image

    with torch.inference_mode():
        for chunk in SharedBackbone(tiny_detector.backbone).stream(slices(), count, 3):
            assert len(asked) <= chunk.first + len(chunk.features) + 3 + 3 + 1
    assert asked == list(range(count))


def test_sharing_is_refused_in_training_mode(tiny_detector):
    with pytest.raises(ValueError, match="training mode"):
        SharedBackbone(tiny_detector.train().backbone)


@pytest.mark.parametrize(("height", "width"), [(40, 32), (32, 24), (8, 16)])
def test_images_that_are_not_padded_are_refused_with_their_size(tiny_detector, height, width):
    with pytest.raises(ValueError, match=rf"{height} x {width} pixels; both sides must be multiples of 16"):
        tiny_detector.forward_features(torch.zeros(1, 9, height, width))


def test_features_depend_on_all_nine_slices(tiny_detector):
    sample = torch.randn(1, 9, 32, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    tiny_detector.forward_features(sample)[0, :, 4, 4].sum().backward()
    assert (sample.grad.abs().amax(dim=(0, 2, 3)) > 0).all()
