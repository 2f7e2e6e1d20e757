"""What a false-positive reduction network is made of: a frozen configuration that travels with its weights."""

from pydantic import Field, PositiveInt

from lens_engine.detector.input_config import InputConfig


class FprConfig(InputConfig):
    """A ResNet whose last stage is 3D, on a patch of the detector's grid (algorithms 4.6).

    Two checkpoints with equal configurations have the same parameters by name and shape.
    """

    patch: tuple[PositiveInt, PositiveInt, PositiveInt] = (16, 96, 96)
    """Network voxels along (z, y, x); 32 x 77 x 77 mm hold 98 % of the annotated widths of DeepLesion."""
    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2, 2)
    """Residual blocks in each stage; those of ResNet-18."""
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (64, 128, 256, 512)
    """Channels of each stage; the stem has those of the first."""
    pooled: tuple[PositiveInt, PositiveInt, PositiveInt] = (2, 4, 4)
    """Bins along (z, y, x) into which every stage is pooled."""
    fc_width: int = Field(default=256, ge=1)
    """Features that each stage contributes."""


def published_fpr(seen: InputConfig) -> FprConfig:
    """Return the network of the LENS paper, with our choices where it is silent.

    Parameters
    ----------
    seen
        Configuration of the detector whose findings are judged: both see the volume in the same way.
    """
    return FprConfig(**_input_of(seen))


def narrow_fpr(seen: InputConfig) -> FprConfig:
    """Return a ResNet-10, narrow enough for a CPU, on patches of half as many voxels along each side."""
    return FprConfig(**_input_of(seen), patch=(8, 48, 48), blocks=(1, 1, 1, 1), widths=(8, 16, 32, 64), fc_width=32)


def _input_of(seen: InputConfig) -> dict[str, object]:
    return {name: getattr(seen, name) for name in InputConfig.model_fields}
