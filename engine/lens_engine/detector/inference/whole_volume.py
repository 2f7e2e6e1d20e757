"""A detector made ready for whole volumes: the boxes of the slice-by-slice detector, computed once each.

Triplets are shared between slices and linear layers merged (`shared`), boxes are regressed only where they are kept
(`lazy_proposals`), and nothing leaves the device before a chunk of slices is done. `reference` is the same detector
written plainly; both give the same boxes up to rounding.
"""

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import PostConfig
from lens_engine.detector.inference.compiling import compiler_for
from lens_engine.detector.inference.fusion import ABSENT, RankedBoxes, SliceDetections, fuse_boxes, fuse_experts
from lens_engine.detector.inference.lazy_proposals import ScoredPlaces, SelectionRule
from lens_engine.detector.inference.merged_scores import scorer_of
from lens_engine.detector.inference.shared_features import FeatureChunk, SharedBackbone
from lens_engine.detector.network.embedding import embed
from lens_engine.detector.proposal_networks.base import at_least_single
from lens_engine.errors import CheckpointError, ConfigError

logger = logging.getLogger("lens_engine.detector.inference.whole_volume")

_CHUNK = {"cpu": 4, "cuda": 16}
_OTHER_CHUNK = 8


class InferencePrecision(StrEnum):
    """Numbers that the network computes in. Scores, boxes, NMS and softmax have single precision at least."""

    FP64 = "fp64"
    """For proofs."""
    FP32 = "fp32"
    """Real single precision, on a GPU as well (no TF32)."""
    BF16 = "bf16"
    """Several times as fast where there are matrix units for it (GPU, AMX), twice with instructions, elsewhere slower.

    Not the same output: features differ by about 1 % (root mean square). Of the boxes with a score of at least 0.1, 19
    in 20 are found by both (IoU > 0.7), and of these 19 in 20 have scores that differ by less than 0.03.
    """

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's tensors."""
        return {self.FP64: torch.float64, self.FP32: torch.float32, self.BF16: torch.bfloat16}[self]


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """How a detector computes; the weights say what.

    Attributes
    ----------
    precision
        The numbers that the network computes with.
    compiles
        Whether the dense blocks are compiled first. It takes about a minute for each size of slices and then saves a
        fifth; needs a C++ compiler.
    chunk
        Grid slices computed at a time; None leaves it to the device. Boxes do not depend on it.
    """

    precision: InferencePrecision = InferencePrecision.FP32
    compiles: bool = False
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.chunk is not None and self.chunk < 1:
            raise ConfigError(f"A chunk has {self.chunk} slices", "At least 1 is needed", "Leave it out or correct it")


EXACT = InferenceSettings()
"""The output of the weights as they are stored."""


class ChunkDetections(NamedTuple):
    """What was found on n grid slices from `first`, on the host.

    Attributes
    ----------
    detections
        The final 2D boxes of the n slices.
    embeddings
        (m, width) of unit length, for the fused boxes slice after slice.
    """

    first: int
    detections: SliceDetections
    embeddings: Tensor


class InferenceDetector:
    """A detector prepared for whole volumes.

    Parameters
    ----------
    model
        In evaluation mode; its weights must not change afterwards.

    Raises
    ------
    ConfigError
        If compiling was asked for and there is no compiler.
    """

    def __init__(self, model: LensDetector, settings: InferenceSettings = EXACT) -> None:
        self.config = model.config
        self.embedding_width = model.embedding_width
        self.precision = settings.precision
        self.device = next(model.parameters()).device
        self.chunk = settings.chunk or _CHUNK.get(self.device.type, _OTHER_CHUNK)
        dtype = settings.precision.dtype
        self._backbone = SharedBackbone(model.backbone, dtype, compiler_for(self.device) if settings.compiles else None)
        self._model = _converted(model, dtype)
        self._networks = self._model.proposal_networks()
        self._scores = scorer_of(self._networks)

    def shrink_chunk(self) -> bool:
        """Compute half as many grid slices at a time from now on; False where it is one already."""
        if self.chunk == 1:
            return False
        self.chunk //= 2
        logger.warning("the memory of the device is short: %d grid slices at a time from now on", self.chunk)
        return True

    def features(self, slices: Iterable[Tensor], count: int) -> Iterator[FeatureChunk]:
        """Yield the features of `count` grid slices (height, width), see `SharedBackbone.stream`."""
        return self._backbone.stream(slices, count, self.chunk)

    def detect(
        self, slices: Iterable[Tensor], count: int, size: tuple[int, int], post: PostConfig
    ) -> Iterator[ChunkDetections]:
        """Yield the detections on `count` grid slices in order, a chunk at a time.

        Parameters
        ----------
        slices
            All grid slices, each (height, width) as padded, on the device of the model.
        size
            Height and width without padding.

        Raises
        ------
        CheckpointError
            If the network's output on a slice is not finite.
        """
        chunks = self.features(slices, count)
        while True:
            # Entered for each chunk, so that whoever takes the chunks computes in a mode of its own.
            with torch.inference_mode(), _real_single_precision(self.device):
                chunk = next(chunks, None)
                if chunk is None:
                    return
                found = self._detect_on_chunk(chunk, count, size, post)
            yield found

    @torch.inference_mode()
    def detect_on_sample(
        self, sample: Tensor, place: tuple[int, int], size: tuple[int, int], post: PostConfig
    ) -> ChunkDetections:
        """Return the detections on one grid slice that shares nothing with its neighbours.

        Parameters
        ----------
        sample
            (9, height, width) as padded, on the device of the model.
        place
            Its number, and how many grid slices there are.
        size
            Height and width without padding.

        Raises
        ------
        CheckpointError
            If the network's output is not finite.
        """
        with _real_single_precision(self.device):
            grid_index, count = place
            features = self._backbone.of_sample(sample)
            return self._detect_on_chunk(FeatureChunk(grid_index, features), count, size, post)

    def _detect_on_chunk(
        self, chunk: FeatureChunk, count: int, size: tuple[int, int], post: PostConfig
    ) -> ChunkDetections:
        try:
            return self._finite_detections(chunk, size, post)
        except _NotFiniteError as error:
            raise CheckpointError(
                f"The network's output on grid slice {error.grid_index} of {count} is not finite",
                "Scores and boxes must be numbers",
                "The weights are damaged, or training diverged: choose another checkpoint or train again",
            ) from error

    def _finite_detections(self, chunk: FeatureChunk, size: tuple[int, int], post: PostConfig) -> ChunkDetections:
        scores, contexts = self._scores(chunk.features)
        places = ScoredPlaces(self._networks, contexts, scores, size)
        if self._model.head is None:
            detections, is_finite = self._one_stage(places, post)
        else:
            detections, is_finite = self._two_stages(places, chunk, size, post)
        fused = _unpadded(detections.fused, is_finite, chunk.first)
        embeddings = embed(self._model, chunk.features, fused)
        on_host = SliceDetections(*(RankedBoxes(*(values.cpu() for values in boxes)) for boxes in detections))
        return ChunkDetections(chunk.first, on_host, embeddings.cpu())

    def _one_stage(self, places: ScoredPlaces, post: PostConfig) -> tuple[SliceDetections, Tensor]:
        """Return the detections of a detector without a head, and on which slices its output is finite."""
        limits = self.config.proposal
        rule = SelectionRule(post.nms, post.per_slice, limits.min_side, post.score_threshold)
        selected = places.by_expert(rule, limits.pre_nms)
        experts = len(self._networks)
        boxes, scores = selected.found
        found = RankedBoxes(boxes.view(-1, experts, *boxes.shape[1:]), scores.view(-1, experts, *scores.shape[1:]))
        return fuse_boxes(found, post), selected.is_finite.view(-1, experts).all(dim=1)

    def _two_stages(
        self, places: ScoredPlaces, chunk: FeatureChunk, size: tuple[int, int], post: PostConfig
    ) -> tuple[SliceDetections, Tensor]:
        """Return the detections of a detector with a head, and on which slices its output is finite."""
        limits = self.config.proposal
        selected = places.pooled(SelectionRule(limits.nms, limits.post_nms, limits.min_side), limits.pre_nms)
        proposals = _unpadded(selected.found, selected.is_finite, chunk.first)
        shared = at_least_single(self._model.head_features(chunk.features, proposals))
        counts = [len(boxes) for boxes in proposals]
        every = torch.cat(proposals)
        boxes = list(torch.split(self._model.expert_boxes(shared, every), counts))
        scores = list(torch.split(self._model.expert_scores(shared), counts))
        padded_boxes = pad_sequence(boxes, batch_first=True)
        padded_scores = pad_sequence(scores, batch_first=True, padding_value=ABSENT)
        is_finite = padded_scores.isfinite().flatten(1).all(dim=1) & padded_boxes.isfinite().flatten(1).all(dim=1)
        return fuse_experts(padded_boxes, padded_scores, size, post), is_finite


@contextmanager
def _real_single_precision(device: torch.device) -> Iterator[None]:
    """Keep cuDNN from computing convolutions of single precision in TF32, which has ten bits."""
    if device.type != "cuda":
        yield
        return
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


class _NotFiniteError(ArithmeticError):
    """The output on a grid slice is not finite."""

    def __init__(self, grid_index: int) -> None:
        super().__init__(grid_index)
        self.grid_index = grid_index


def _unpadded(found: RankedBoxes, is_finite: Tensor, first: int) -> list[Tensor]:
    """Return the boxes (n_i, 4) of each slice from `first`; asks the device once."""
    counts, are_finite = torch.stack([found.counts, is_finite.long()]).tolist()
    if not all(are_finite):
        raise _NotFiniteError(first + are_finite.index(0))
    return [boxes[:number] for boxes, number in zip(found.boxes, counts, strict=True)]


def _converted(model: LensDetector, dtype: torch.dtype) -> LensDetector:
    """Return the model in another precision; what is behind the shared head keeps single precision at least."""
    if all(parameter.dtype == dtype for parameter in model.parameters()):
        return model
    converted = copy.deepcopy(model).requires_grad_(requires_grad=False)
    exact = torch.promote_types(dtype, torch.float32)
    for parameter in converted.parameters():
        parameter.data = parameter.data.to(dtype)
    for buffer in converted.buffers():  # anchors, whose places half precision would round
        buffer.data = buffer.data.to(torch.promote_types(buffer.dtype, exact)) if buffer.is_floating_point() else buffer
    for layer in (*converted.classifiers, *converted.regressors):
        layer.to(exact)
    return converted
