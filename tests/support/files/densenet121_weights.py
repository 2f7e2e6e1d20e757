"""An imitation of the published ImageNet weights: torchvision's names and shapes, written down independently."""

import torch


def densenet121(seed: int = 0) -> dict[str, torch.Tensor]:
    """Return a state dict of the whole of DenseNet-121 as torchvision names it: blocks of 6, 12, 24 and 16 layers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, torch.Tensor] = {}

    def weight(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=generator)

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{part}"] = torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    weight("features.conv0", 64, 3, 7, 7)
    norm("features.norm0", 64)
    channels = 64
    for block, layers in enumerate((6, 12, 24, 16), start=1):
        for layer in range(1, layers + 1):
            prefix = f"features.denseblock{block}.denselayer{layer}"
            norm(f"{prefix}.norm1", channels)
            weight(f"{prefix}.conv1", 128, channels, 1, 1)
            norm(f"{prefix}.norm2", 128)
            weight(f"{prefix}.conv2", 32, 128, 3, 3)
            channels += 32
        if block < 4:
            norm(f"features.transition{block}.norm", channels)
            weight(f"features.transition{block}.conv", channels // 2, channels, 1, 1)
            channels //= 2
    norm("features.norm5", channels)
    weight("classifier", 1000, channels)
    state["classifier.bias"] = torch.rand(1000, generator=generator)
    return state
