"""The head that all experts share, before each one's own classifier and regressor (algorithms 4.2)."""

from torch import Tensor, nn
from torch.nn import functional


class SharedHead(nn.Module):
    """Two fully connected layers with ReLU on a pooled box."""

    def __init__(self, channels: int, pooled: int, width: int) -> None:
        super().__init__()
        self.fc6 = nn.Linear(channels * pooled * pooled, width)
        self.fc7 = nn.Linear(width, width)
        for layer in (self.fc6, self.fc7):
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """Map pooled boxes (r, channels, pooled, pooled) to features (r, width)."""
        hidden = functional.relu(self.fc6(pooled.flatten(1)))
        return functional.relu(self.fc7(hidden))


def classifier(width: int) -> nn.Linear:
    """Return one expert's classifier: logits of background and lesion."""
    return _output(width, 2, 0.01)


def regressor(width: int) -> nn.Linear:
    """Return one expert's regressor: four box deltas (`box_coder`)."""
    return _output(width, 4, 0.001)


def _output(width: int, outputs: int, deviation: float) -> nn.Linear:
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=deviation)
    nn.init.zeros_(layer.bias)
    return layer
