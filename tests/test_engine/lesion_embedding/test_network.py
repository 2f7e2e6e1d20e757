import pytest
import torch
from torch.nn import functional

from lens_engine.lesion_embedding.config import EmbeddingConfig, narrow_embedding, published_embedding
from lens_engine.lesion_embedding.network import EmbeddingNetwork

PATCHES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 50
BOXES = torch.tensor([[8.0, 10, 16, 22], [2, 3, 30, 31], [15, 15, 17, 17], [0, 0, 40, 40]])


def parameters_by_hand(config: EmbeddingConfig) -> int:
    """Count convolutions, their normalisation, the five layers of the scales, and the three heads, one by one."""
    total, before = 0, 3
    for width, count in zip(config.widths, config.convolutions, strict=True):
        for _ in range(count):
            total += 9 * before * width + width + 2 * width
            before = width
        total += (config.pooled**2 * width + 1) * config.scale_width
    features = 5 * config.scale_width
    return total + (features + 1) * (config.width + config.terms) + (config.terms + 1) * config.terms


def test_the_published_network_has_the_parameters_of_vgg_16_with_five_scales_and_171_terms():
    network = EmbeddingNetwork(published_embedding())
    vgg_16_bn = 14_723_136  # without its classifier
    scales = 25 * (64 + 128 + 256 + 512 + 512) * 256 + 5 * 256
    heads = 1281 * 256 + 1281 * 171 + 172 * 171
    assert sum(p.numel() for p in network.parameters()) == vgg_16_bn + scales + heads == 24_721_615
    assert parameters_by_hand(network.config) == 24_721_615
    assert (network.embedding.in_features, network.embedding.out_features) == (1280, 256)


def test_the_narrow_network_is_the_same_with_other_numbers_and_fits_into_two_megabytes_in_half_precision():
    network = EmbeddingNetwork(narrow_embedding(6))
    count = sum(p.numel() for p in network.parameters())
    assert count == parameters_by_hand(network.config)
    assert 2 * count < 2 * 2**20
    assert network.config.patch_side * network.config.pixel_mm == 120


def test_every_embedding_has_length_1_and_every_term_a_score(tiny_network):
    look = tiny_network(PATCHES, BOXES)
    assert (look.embedding.shape, look.scores.shape, look.propagated.shape) == ((4, 7), (4, 3), (4, 3))
    torch.testing.assert_close(look.embedding.norm(dim=1), torch.ones(4))


def test_a_silent_embedding_still_has_length_1(tiny_network):
    with torch.no_grad():
        tiny_network.embedding.weight.zero_()
        tiny_network.embedding.bias.zero_()
    torch.testing.assert_close(tiny_network(PATCHES, BOXES).embedding.norm(dim=1), torch.ones(4))


def test_at_first_propagation_changes_no_score(tiny_network):
    look = tiny_network(PATCHES, BOXES)
    torch.testing.assert_close(look.propagated, look.scores)


def test_the_first_three_scales_look_under_the_box_and_the_last_two_at_the_whole_patch(tiny_network):
    one, other = (tiny_network._features(PATCHES[:1], box).view(5, 5) for box in (BOXES[:1], BOXES[2:3]))
    assert [bool((one[scale] != other[scale]).any()) for scale in range(5)] == [True] * 3 + [False] * 2


def test_features_are_those_of_a_direct_computation(tiny_network):
    maps, expected = PATCHES[:1] / 255, []
    for number, stage in enumerate(tiny_network.stages):
        maps = stage(maps if number == 0 else functional.max_pool2d(maps, 2))
        side = maps.shape[-1]
        x1, y1, x2, y2 = (int(value) for value in BOXES[0].div(2**number)) if number < 3 else (0, 0, side, side)
        x2, y2 = (max(-(-int(edge) // 2**number), 1) for edge in BOXES[0][2:]) if number < 3 else (x2, y2)
        pooled = functional.adaptive_max_pool2d(maps[:, :, y1:y2, x1:x2], 2)
        expected.append(tiny_network.scales[number](pooled.flatten(1)))
    torch.testing.assert_close(tiny_network._features(PATCHES[:1], BOXES[:1]), torch.cat(expected, dim=1))


@pytest.mark.parametrize("count", [1, 3])
def test_a_look_does_not_depend_on_its_neighbours_in_the_batch(tiny_network, count):
    whole = tiny_network(PATCHES, BOXES).embedding
    torch.testing.assert_close(tiny_network(PATCHES[:count], BOXES[:count]).embedding, whole[:count])
