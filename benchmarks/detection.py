"""The detector: shared features against slice by slice, and box operations against their plain forms."""

import numpy as np
import torch

from benchmarks.measure import Comparison, compare
from lens_engine import boxes as plain_boxes
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.config import narrow_lens
from lens_engine.detector.ops import non_maximum_suppression
from lens_engine.detector.shared import SharedBackbone

SLICES, HEIGHT, WIDTH = 24, 176, 208
BOXES = 3000


def run() -> list[Comparison]:
    """Return all comparisons of the detector."""
    return [_shared_features(), _suppression()]


@torch.inference_mode()
def _shared_features() -> Comparison:
    torch.manual_seed(0)
    model = LensDetector(narrow_lens(("universal", "lung", "liver", "lymph node"))).eval()
    volume = np.random.default_rng(0).normal(0, 50, (SLICES, HEIGHT, WIDTH)).astype(np.float32)

    def slice_by_slice() -> None:
        for centre in range(SLICES):
            nine = volume[np.clip(np.arange(centre - 4, centre + 5), 0, SLICES - 1)]
            model.forward_features(torch.from_numpy(nine)[None])

    def shared() -> None:
        for _ in SharedBackbone(model.backbone).stream(lambda index: volume[index], SLICES, 4):
            pass

    return compare(
        f"features of {SLICES} slices, narrow LENS, fp32", "slice by slice", slice_by_slice, shared, repeats=3
    )


def _suppression() -> Comparison:
    generator = np.random.default_rng(0)
    low = generator.uniform(0, 400, (BOXES, 2))
    boxes = np.concatenate([low, low + generator.uniform(10, 60, (BOXES, 2))], axis=1).astype(np.float32)
    scores = generator.permutation(BOXES).astype(np.float32) / BOXES
    tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
    return compare(
        f"NMS of {BOXES} boxes",
        "plain numpy",
        lambda: plain_boxes.non_maximum_suppression(boxes, scores, 0.5),
        lambda: non_maximum_suppression(*tensors, 0.5),
    )
