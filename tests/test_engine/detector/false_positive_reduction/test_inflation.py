import pytest
import torch
from torch.nn import functional

from lens_engine.detector.false_positive_reduction.config import FprConfig
from lens_engine.detector.false_positive_reduction.inflation import inflate
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.errors import CheckpointError

WIDTHS = (64, 128, 256, 512)
SMALL = FprConfig(patch=(4, 32, 40), fc_width=4)
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def resnet18() -> State:
    """Return random weights with the names and shapes of torchvision's ResNet-18."""
    generator = torch.Generator().manual_seed(0)
    state: State = {}

    def convolution(name: str, *shape: int) -> None:
        fan = shape[1] * shape[2] * shape[3]
        state[f"{name}.weight"] = torch.randn(shape, generator=generator) * fan**-0.5

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(width, generator=generator) * 0.2
        state[f"{name}.running_mean"] = torch.randn(width, generator=generator) * 0.2
        state[f"{name}.running_var"] = torch.rand(width, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    convolution("conv1", 64, 3, 7, 7)
    norm("bn1", 64)
    for stage, width in enumerate(WIDTHS, start=1):
        below = WIDTHS[max(stage - 2, 0)]
        for block in range(2):
            name = f"layer{stage}.{block}"
            convolution(f"{name}.conv1", width, below if block == 0 else width, 3, 3)
            norm(f"{name}.bn1", width)
            convolution(f"{name}.conv2", width, width, 3, 3)
            norm(f"{name}.bn2", width)
            if block == 0 and stage > 1:
                convolution(f"{name}.downsample.0", width, below, 1, 1)
                norm(f"{name}.downsample.1", width)
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    return state


def features_2d(state: State, image: torch.Tensor) -> list[torch.Tensor]:
    """Return the outputs of the four stages for images (n, 3, h, w)."""

    def norm(maps: torch.Tensor, name: str) -> torch.Tensor:
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(maps, mean, variance, state[f"{name}.weight"], state[f"{name}.bias"])

    maps = norm(functional.conv2d(image, state["conv1.weight"], stride=2, padding=3), "bn1").relu()
    maps = functional.max_pool2d(maps, 3, stride=2, padding=1)
    stages = []
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            around = maps
            if f"{name}.downsample.0.weight" in state:
                around = functional.conv2d(maps, state[f"{name}.downsample.0.weight"], stride=stride)
                around = norm(around, f"{name}.downsample.1")
            hidden = functional.conv2d(maps, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            hidden = functional.conv2d(norm(hidden, f"{name}.bn1").relu(), state[f"{name}.conv2.weight"], padding=1)
            maps = (norm(hidden, f"{name}.bn2") + around).relu()
        stages.append(maps)
    return stages


def test_a_volume_that_is_constant_along_z_has_the_features_of_its_slice(resnet18):
    network = FprNetwork(SMALL).eval()
    inflate(network, resnet18)
    image = torch.randn(2, 1, 32, 40, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = network.trunk(image[:, :, None].expand(-1, -1, 4, -1, -1))
        expected = features_2d(resnet18, image.expand(-1, 3, -1, -1))
    for volume, flat in zip(found, expected, strict=True):
        torch.testing.assert_close(volume, flat[:, :, None].expand_as(volume), rtol=1e-4, atol=1e-4)


def test_inflation_leaves_the_head_and_the_given_weights_alone(resnet18):
    network = FprNetwork(SMALL)
    before = network.scales[3].weight.clone()
    kernel = resnet18["layer4.1.conv2.weight"].clone()
    inflate(network, resnet18)
    assert torch.equal(network.scales[3].weight, before)
    assert torch.equal(resnet18["layer4.1.conv2.weight"], kernel)
    torch.testing.assert_close(network.trunk.layer4[1].conv2.weight.sum(dim=2), kernel)


def test_weights_of_another_network_are_refused_by_name(resnet18):
    without = {name: tensor for name, tensor in resnet18.items() if name != "layer2.0.conv1.weight"}
    with pytest.raises(CheckpointError, match=r"layer2\.0\.conv1\.weight is missing"):
        inflate(FprNetwork(SMALL), without)
    with pytest.raises(CheckpointError, match=r"unknown|instead of") as refused:
        inflate(FprNetwork(SMALL.model_copy(update={"widths": (8, 16, 32, 64), "blocks": (1, 1, 1, 1)})), resnet18)
    assert "(8, 16, 32, 64)" in str(refused.value)
