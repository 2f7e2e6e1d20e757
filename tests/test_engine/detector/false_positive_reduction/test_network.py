import torch
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.config import narrow_fpr, published_fpr
from lens_engine.detector.false_positive_reduction.network import FprNetwork, ResidualBlock
from lens_engine.detector.input_config import InputConfig

PATCHES = torch.randn(3, 1, 4, 32, 24, generator=torch.Generator().manual_seed(1)) * 50
BOXES = torch.tensor([[8.0, 10, 1, 16, 22, 3], [0, 0, 0, 24, 32, 4], [11, 15, 1.5, 13, 17, 2.5]])


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def as_3d(weight: torch.Tensor) -> torch.Tensor:
    return weight.unsqueeze(2) if weight.dim() == 4 else weight


def convolved(maps: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """Convolve in 3D: slice by slice for 1xkxk, with repeated end slices for 3x3x3."""
    kernel = as_3d(weight)
    depth, side = kernel.shape[2], kernel.shape[-1]
    padded = functional.pad(maps, (0, 0, 0, 0, depth // 2, depth // 2), mode="replicate") if depth > 1 else maps
    z_stride = 1 if weight.dim() == 4 else stride
    return functional.conv3d(padded, kernel, stride=(z_stride, stride, stride), padding=(0, side // 2, side // 2))


def normalised(maps: torch.Tensor, norm: torch.nn.Module) -> torch.Tensor:
    return functional.batch_norm(maps, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def plain_block(block: ResidualBlock, maps: torch.Tensor, stride: int) -> torch.Tensor:
    around = maps
    if block.downsample is not None:
        around = normalised(convolved(maps, block.downsample[0].weight, stride), block.downsample[1])
    hidden = normalised(convolved(maps, block.conv1.weight, stride), block.bn1).relu()
    return (normalised(convolved(hidden, block.conv2.weight, 1), block.bn2) + around).relu()


def test_the_published_network_has_the_parameters_of_its_derivation():
    """ResNet-18 without its classifier, a grey stem, stage 4 three deep, and the multi-scale head."""
    network = FprNetwork(published_fpr(InputConfig()))
    resnet18 = 11_689_512 - 513_000
    stage4_kernels = 512 * 256 * 9 + 3 * 512 * 512 * 9
    assert parameters(network.trunk) == resnet18 - 2 * 64 * 49 + 2 * stage4_kernels == 27_685_312
    head = (64 + 128 + 256 + 512) * 2 * 4 * 4 * 256 + 4 * 256 + 4 * 256 + 1
    assert parameters(network) == 27_685_312 + head == 35_551_681


def test_every_stage_has_the_strides_in_the_documentation():
    network = FprNetwork(narrow_fpr(InputConfig()).model_copy(update={"patch": (16, 96, 96)})).eval()
    maps = network.trunk(torch.zeros(1, 1, 16, 96, 96))
    sizes = [tuple(stage.shape[2:]) for stage in maps]
    assert sizes == [(16, 24, 24), (16, 12, 12), (16, 6, 6), (8, 3, 3)]


def test_the_trunk_equals_plain_3d_convolutions(tiny_network):
    trunk = tiny_network.trunk.double()
    patches = PATCHES.double()
    stem = normalised(
        functional.conv3d(patches, as_3d(trunk.conv1.weight), stride=(1, 2, 2), padding=(0, 3, 3)), trunk.bn1
    ).relu()
    maps = functional.max_pool3d(stem, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    for stage, first_stride, found in zip(
        (trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4), (1, 2, 2, 2), trunk(patches), strict=True
    ):
        for number, block in enumerate(stage):
            maps = plain_block(block, maps, first_stride if number == 0 else 1)
        torch.testing.assert_close(found, maps)


def test_only_the_last_stage_mixes_slices(tiny_network):
    changed = PATCHES.clone()
    changed[:, :, 3] += 20
    before, after = tiny_network.trunk(PATCHES), tiny_network.trunk(changed)
    for one, other in zip(before[:3], after[:3], strict=True):
        torch.testing.assert_close(one[:, :, :3], other[:, :, :3])
        assert not torch.equal(one[:, :, 3], other[:, :, 3])
    assert not torch.equal(before.stage4[:, :, 0], after.stage4[:, :, 0])


def test_the_box_decides_what_the_first_stages_say(tiny_network):
    moved = BOXES + torch.tensor([3.0, -4, 1, 3, -4, 1])
    assert not torch.isclose(tiny_network(PATCHES, BOXES), tiny_network(PATCHES, moved)).any()


def test_a_patch_is_judged_alone(tiny_network):
    together = tiny_network(PATCHES, BOXES)
    alone = torch.cat([tiny_network(PATCHES[i : i + 1], BOXES[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    torch.testing.assert_close(together, alone)
