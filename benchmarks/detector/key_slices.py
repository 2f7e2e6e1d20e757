"""Measuring on a key slice alone against detecting in the whole sub-volume around it, in the sizes of DeepLesion."""

import numpy as np

from benchmarks.detector.subjects import EXPERTS, loud_detector
from benchmarks.measure import Comparison, compare
from lens_engine.detector.config import narrow_lens, published_lens
from lens_engine.detector.inference.chosen_slices import detect_on_slices
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

SUB_VOLUMES = ((61, 1.0), (13, 5.0))
"""Slices and their distance in millimetres: the two that are most frequent."""


def run(*, full: bool) -> list[Comparison]:
    """Return all comparisons; in full with the published network as well."""
    rows = _compared("narrow LENS", InferenceDetector(loud_detector(narrow_lens(EXPERTS))), 256)
    if full:
        rows += _compared("published LENS", InferenceDetector(loud_detector(published_lens(EXPERTS))), 512)
    return rows


def _compared(name: str, detector: InferenceDetector, side: int) -> list[Comparison]:
    rows = []
    for slices, spacing_mm in SUB_VOLUMES:
        volume = _sub_volume(slices, spacing_mm, side)
        key = slices // 2

        def whole(volume: Volume = volume) -> None:
            detect_with(detector, volume)

        def alone(volume: Volume = volume, key: int = key) -> None:
            detect_on_slices(detector, volume.geometry, lambda part: volume.voxels[list(part)], [key])

        title = f"key slice in {slices} of {spacing_mm:g} mm, {name}, fp32, {side} px"
        rows.append(compare(title, "whole sub-volume", whole, alone, repeats=3).wanted(5))
    return rows


def _sub_volume(slices: int, spacing_mm: float, side: int) -> Volume:
    shape = (slices, side, side)
    voxels = np.random.default_rng(0).normal(40, 200, shape).clip(-700, 1000).astype(np.int16)
    return Volume(voxels, VolumeGeometry(shape, (spacing_mm, 0.8, 0.8)))
