"""What a lesion embedding network is made of: a frozen configuration that travels with its weights."""

from pydantic import Field, PositiveInt

from lens_engine.detector.config import NARROW_INTENSITY
from lens_engine.detector.input_config import InputConfig

STAGES = 5
PUBLISHED_TERMS = 171
"""Body parts, types and attributes that the public label files know."""


class EmbeddingConfig(InputConfig):
    """A VGG with batch normalisation on a square patch of three slices (algorithms 5.8).

    The defaults are the published network. Two checkpoints with equal configurations have the same parameters by name
    and shape.
    """

    pixel_mm: float = Field(default=1.0, gt=0)
    max_side: int = Field(default=800, ge=32)
    patch_side: int = Field(default=120, ge=16)
    """Pixels of the patch along each side; the lesion lies in its middle."""
    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (64, 128, 256, 512, 512)
    """Channels of each stage."""
    convolutions: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 3, 3, 3)
    """Convolutions of each stage; those of VGG-16."""
    pooled: int = Field(default=5, ge=1)
    """Bins along each side into which every stage is pooled."""
    scale_width: int = Field(default=256, ge=1)
    """Features that each stage contributes."""
    width: int = Field(default=256, ge=1)
    """Length of the embedding."""
    terms: int = Field(default=PUBLISHED_TERMS, ge=1)
    """Labels that the classifier knows."""


def published_embedding(terms: int = PUBLISHED_TERMS) -> EmbeddingConfig:
    """Return the network of the LesaNet paper."""
    return EmbeddingConfig(terms=terms)


def narrow_embedding(terms: int) -> EmbeddingConfig:
    """Return a network for a CPU: the same 120 mm in pixels twice as wide, slices 4 mm apart, fewer channels."""
    return EmbeddingConfig(
        pixel_mm=2.0,
        grid_mm=4.0,
        intensity=NARROW_INTENSITY,
        antialias=True,
        patch_side=60,
        widths=(16, 24, 32, 48, 64),
        convolutions=(2, 2, 2, 2, 2),
        pooled=4,
        scale_width=48,
        width=64,
        terms=terms,
    )
