"""What a detector is made of: a frozen configuration that travels with its weights. Knows no torch.

Parts are chosen by name (`BackboneKind`, `ProposalKind`), so that another backbone or proposal network is one more
member here and one more module beside the existing ones. Lengths are network pixels unless a name says otherwise.
"""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator

from lens_engine.detector.input_config import InputConfig
from lens_engine.findings import FUSED

NARROW_INTENSITY = ((-1024.0, 0.0), (-850.0, 20.0), (-160.0, 70.0), (240.0, 230.0), (1500.0, 255.0))
"""Most of the range for soft tissue: a small network trained for minutes cannot amplify 30 HU out of 4095."""

PUBLISHED_INFERENCE_SIDE = 640
"""At 0.8 mm 512 mm: a body that fills the 500 mm that scanners usually show keeps the published size of a pixel."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class BackboneKind(StrEnum):
    """Network that turns nine slices into one feature map."""

    DENSENET_25D = "densenet-2.5d"


class ProposalKind(StrEnum):
    """Network that proposes 2D boxes on a feature map, one for each expert."""

    AFP = "afp"
    RPN = "rpn"
    FCOS = "fcos"
    CENTERNET = "centernet"


class BackboneConfig(BaseModel):
    """Widths of the truncated 2.5D DenseNet with 3D fusion and FPN (algorithms 3)."""

    model_config = _FROZEN

    kind: BackboneKind = BackboneKind.DENSENET_25D
    stem: int = Field(default=64, ge=1)
    """Channels after the 7x7 convolution."""
    growth: int = Field(default=32, ge=1)
    """Channels that each dense layer adds."""
    blocks: tuple[int, int, int] = (6, 12, 24)
    """Dense layers in each block."""
    bottleneck: int = Field(default=4, ge=1)
    """Channels between the two convolutions of a dense layer, in multiples of `growth`."""
    fpn_channels: int = Field(default=512, ge=1)
    """Channels of the final feature map."""


class AnchorConfig(BaseModel):
    """Boxes that an RPN starts from at every cell: each size with each ratio (algorithms 4.3)."""

    model_config = _FROZEN

    sizes: tuple[PositiveFloat, ...] = Field(default=(16.0, 24.0, 32.0, 48.0, 96.0), min_length=1)
    """Square roots of the areas."""
    ratios: tuple[PositiveFloat, ...] = Field(default=(0.5, 1.0, 2.0), min_length=1)
    """Height over width."""

    @property
    def count(self) -> int:
        """Anchors of a cell."""
        return len(self.sizes) * len(self.ratios)


class ProposalConfig(BaseModel):
    """Proposal networks, one for each expert (algorithms 4.1 to 4.3b)."""

    model_config = _FROZEN

    kind: ProposalKind = ProposalKind.AFP
    width: int = Field(default=256, ge=1)
    """Hidden channels of each branch."""
    anchors: AnchorConfig = AnchorConfig()
    """Read by an RPN only."""
    min_side: float = Field(default=8.0, ge=0)
    """A proposal with a shorter side is dropped."""
    pre_nms: int = Field(default=6000, ge=1)
    """Best places of each expert that become boxes, at inference."""
    post_nms: int = Field(default=300, ge=1)
    """Pooled proposals of a slice after NMS, at inference."""
    train_pre_nms: int = Field(default=12000, ge=1)
    train_post_nms: int = Field(default=2000, ge=1)
    nms: float = Field(default=0.7, gt=0, le=1)


class HeadConfig(BaseModel):
    """Head that all experts share (algorithms 4.2)."""

    model_config = _FROZEN

    fc_width: int = Field(default=2048, ge=1)
    pooled: int = Field(default=7, ge=1)
    """Bins of ROIAlign along each side."""


class PostConfig(BaseModel):
    """From scored boxes to detections (algorithms 4.4)."""

    model_config = _FROZEN

    score_threshold: float = Field(default=0.05, ge=0, lt=1)
    nms: float = Field(default=0.5, gt=0, le=1)
    per_slice: int = Field(default=50, ge=1)
    """Best boxes of one expert that are kept on a slice."""


class DetectorConfig(InputConfig):
    """One assembly of the detector family.

    Two checkpoints with equal configurations have the same parameters by name and shape.
    """

    experts: tuple[str, ...]
    """Names, in the order of the network's outputs; the first one is the universal expert."""
    backbone: BackboneConfig = BackboneConfig()
    proposal: ProposalConfig = ProposalConfig()
    head: HeadConfig | None = HeadConfig()
    """None makes a detector of one stage: its proposals are its detections."""
    post: PostConfig = PostConfig()

    @field_validator("experts")
    @classmethod
    def _experts_are_distinct(cls, experts: tuple[str, ...]) -> tuple[str, ...]:
        if not experts or len(set(experts)) != len(experts) or FUSED in experts or not all(experts):
            raise ValueError(f"experts are {experts}; at least one distinct name other than {FUSED!r} is needed")
        return experts


def published_lens(
    experts: tuple[str, ...], kind: ProposalKind = ProposalKind.AFP, *, two_stages: bool = True
) -> DetectorConfig:
    """Return the configuration of the LENS paper, with our choices where it is silent (algorithms 2 to 4).

    The RPN has MULAN's 512 hidden channels. FCOS and CenterNet, whose widths are not published, have the AFP's 256 in
    each branch, so that the rows of LENS Table III differ by their principle and not by their size.
    """
    return DetectorConfig(
        experts=experts,
        inference_side=PUBLISHED_INFERENCE_SIDE,
        proposal=ProposalConfig(kind=kind, width=512 if kind is ProposalKind.RPN else 256),
        head=HeadConfig() if two_stages else None,
    )


def narrow_lens(
    experts: tuple[str, ...], kind: ProposalKind = ProposalKind.AFP, *, two_stages: bool = True
) -> DetectorConfig:
    """Return the same assembly, narrow enough for a CPU and for a checkpoint of less than 2 MB.

    An RPN is twice as wide as the other networks, as in `published_lens`, and its anchors are as large in millimetres.
    """
    return DetectorConfig(
        experts=experts,
        pixel_mm=1.6,
        grid_mm=4.0,
        max_side=320,
        intensity=NARROW_INTENSITY,
        antialias=True,
        backbone=BackboneConfig(stem=32, growth=16, blocks=(4, 6, 8), fpn_channels=64),
        proposal=_narrow_proposals(kind),
        head=HeadConfig(fc_width=96) if two_stages else None,
        post=PostConfig(per_slice=20),
    )


def _narrow_proposals(kind: ProposalKind) -> ProposalConfig:
    limits = ProposalConfig(
        kind=kind, width=32, min_side=4.0, pre_nms=200, post_nms=64, train_pre_nms=500, train_post_nms=128
    )
    if kind is not ProposalKind.RPN:
        return limits
    return limits.model_copy(update={"width": 64, "anchors": AnchorConfig(sizes=(8.0, 12.0, 16.0, 24.0, 48.0))})
