"""Whole-volume inference against the slice-by-slice detector, in equal precision, and how its cost grows."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.detector.subjects import EXPERTS, loud_detector, noise, sample
from benchmarks.measure import Comparison, Growth, compare
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import narrow_lens, published_lens
from lens_engine.detector.inference.reference import ReferenceSlice, detect_on_slice
from lens_engine.detector.inference.whole_volume import (
    ChunkDetections,
    InferenceDetector,
    InferencePrecision,
    InferenceSettings,
)

SIDE = 512
PLAIN_SLICES = 3
"""Slices that the plain detector computes; its time per slice does not depend on their number."""
SHORT, LONG = 16, 128
"""Slices of the volumes whose seconds per slice are compared."""


def run(*, full: bool) -> list[Comparison]:
    """Return all comparisons; in full on longer volumes, more often."""
    slices, repeats = (64, 5) if full else (16, 3)
    model = loud_detector(published_lens(EXPERTS))
    rows = []
    for precision in (InferencePrecision.FP32, InferencePrecision.BF16):
        bench = _Bench(model, precision, slices, repeats)
        rows += [bench.features(), bench.whole()]
    return rows


def growth(*, full: bool) -> list[Growth]:
    """Return how the time per slice grows with the number of slices."""
    rows = [
        _growth(
            "narrow LENS, fp32, 320 px", loud_detector(narrow_lens(EXPERTS)), 320, InferencePrecision.FP32, repeats=5
        )
    ]
    if full:
        model = loud_detector(published_lens(EXPERTS))
        rows.append(_growth("published LENS, bf16, 512 px", model, SIDE, InferencePrecision.BF16, repeats=3))
    return rows


class _Bench:
    def __init__(self, model: LensDetector, precision: InferencePrecision, slices: int, repeats: int) -> None:
        self._precision, self._count, self._repeats = precision, slices, repeats
        self._slices = noise(slices, SIDE)
        self._detector = InferenceDetector(model, InferenceSettings(precision))
        self._plain = copy.deepcopy(model).to(precision.dtype)
        self._post = model.config.post

    @torch.inference_mode()
    def features(self) -> Comparison:
        """Compare backbone and fusion alone."""
        goal = 1.9 if self._precision is InferencePrecision.FP32 else 2.3

        def plain() -> None:
            for centre in self._plain_centres():
                self._plain.forward_features(self._sample(centre)[None])

        def ours() -> None:
            for _ in self._detector.features(iter(self._slices), self._count):
                pass

        return self._compared("backbone and fusion", plain, ours).wanted(goal, f"{self._count} slices of ours")

    def whole(self) -> Comparison:
        """Compare everything up to the embeddings of the fused boxes."""
        goal = 1.7 if self._precision is InferencePrecision.FP32 else 2.3
        references, chunks = self._plain_slices(), self._chunks()
        proposals = sum(len(reference.proposals.scores) for reference in references) / len(references)
        same = sum(
            _has_same_boxes(reference, chunks, centre)
            for reference, centre in zip(references, self._plain_centres(), strict=True)
        )
        note = f"{self._count} slices of ours, {proposals:.0f} proposals each; same boxes on {same} of {PLAIN_SLICES}"
        return self._compared("whole detector", self._plain_slices, self._chunks).wanted(goal, note)

    def _compared(self, name: str, plain: Callable[[], object], ours: Callable[[], object]) -> Comparison:
        title = f"{name}, published LENS, {self._precision}, per slice"
        return compare(title, "slice by slice", plain, ours, self._repeats).per_piece(PLAIN_SLICES, self._count)

    def _plain_slices(self) -> list[ReferenceSlice]:
        return [detect_on_slice(self._plain, self._sample(centre), (SIDE, SIDE)) for centre in self._plain_centres()]

    def _chunks(self) -> list[ChunkDetections]:
        return list(self._detector.detect(iter(self._slices), self._count, (SIDE, SIDE), self._post))

    def _plain_centres(self) -> range:
        return range(self._count // 2, self._count // 2 + PLAIN_SLICES)

    def _sample(self, centre: int) -> Tensor:
        return sample(self._slices, centre).to(self._precision.dtype)


def _has_same_boxes(reference: ReferenceSlice, chunks: list[ChunkDetections], grid_index: int) -> bool:
    for chunk in chunks:
        offset = grid_index - chunk.first
        if 0 <= offset < len(chunk.detections.fused.scores):
            boxes, scores = (values[offset] for values in chunk.detections.fused)
            boxes = boxes[scores >= 0]
            same = len(boxes) == len(reference.fused.boxes)
            return same and bool((boxes - reference.fused.boxes).abs().max() < 0.01)
    raise ValueError(f"Slice {grid_index} was not detected on.")


def _growth(name: str, model: LensDetector, side: int, precision: InferencePrecision, repeats: int) -> Growth:
    detector = InferenceDetector(model, InferenceSettings(precision))
    volumes = {count: noise(count, side) for count in (SHORT, LONG)}

    def detect(count: int) -> Callable[[], object]:
        return lambda: list(detector.detect(iter(volumes[count]), count, (side, side), model.config.post))

    row = compare(name, "", detect(SHORT), detect(LONG), repeats).per_piece(SHORT, LONG)
    costs = row.baseline_seconds * 1e3, row.ours_seconds * 1e3
    return Growth(f"time per slice, {name}", f"{SHORT} slices", costs[0], f"{LONG} slices", costs[1], "ms", 1.15)
