"""What it changes that a whole volume is cropped alike, where the published code crops every slice by its own body.

One crop for all slices is what lets slices share features; it also ends the jitter of the crop between neighbours. This
compares the shipped demo model's findings in both ways: on phantoms, with their FROC, and on real scans where there are
any (`LENS_REAL_DATA`, default `../shared/data`). A third way, the common crop moved by one voxel, tells how much of
the difference is only that of a network with strides whose input has moved. The demo model never saw a patient: real
scans show how far the ways differ, not how good any is.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.conditions import ensure_environment
from lens_engine.boxes import Overlap, overlaps, pad_in_plane
from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.assembly import BoxSet, LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.config import PostConfig
from lens_engine.detector.inference.predict import detect
from lens_engine.detector.inference.reference import detect_on_slice
from lens_engine.detector.preprocess import Crop, NetworkGrid, body_rectangle, prepare
from lens_engine.evaluation.froc import match, prediction_rows
from lens_engine.findings import FUSED, Finding
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series import read_volume, scan
from lens_engine.phantom.patient import GENERATOR_VERSION, TEST_SEEDS, UNIVERSAL, make_patient
from lens_engine.proposals import Proposals
from lens_engine.stacking import stack
from lens_engine.volume import Volume

PHANTOMS = 4
REAL_SLICES = 24
"""Of each real scan, from its middle."""
SURE = 0.5
"""Findings below this score are not compared."""
LABEL_MARGIN = 5.0
"""Voxels around a lesion that its label has on every side (algorithms 1.9)."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two lists of findings are.

    Attributes
    ----------
    findings
        In the first list and in the second.
    share
        Of all of them that have a partner in the other list with an IoU above 0.5.
    score_difference
        Mean, absolute, of partners.
    """

    findings: tuple[int, int]
    share: float
    score_difference: float


def main() -> None:
    """Print how findings agree, and the sensitivities on phantoms."""
    ensure_environment()
    model, _ = load_checkpoint(demo_checkpoint_folder())
    print(f"findings with a score of at least {SURE:g} that agree with those of one crop per volume (IoU > 0.5)")
    print(f"{'scan':20} {'findings':>8}   {'a crop per slice':>30}   {'one crop, moved a voxel':>30}")
    truths: dict[str, NDArray[np.float64]] = {}
    found: tuple[dict[str, NDArray[np.float64]], ...] = ({}, {}, {})
    for name, volume, truth in _phantoms():
        ways = _three_ways(model, volume)
        _show(name, ways)
        truths[name] = truth
        for predictions, findings in zip(found, ways, strict=True):
            predictions[name] = prediction_rows(findings, FUSED)
    sensitivities = [match(own, truths, Overlap.IOBB).curve().average_sensitivity for own in found]
    lesions = sum(len(truth) for truth in truths.values())
    print(
        f"average sensitivity on phantoms of generator {GENERATOR_VERSION}, {lesions} lesions (3D IoBB 0.3): "
        f"{sensitivities[0]:.3f} with one crop per volume, {sensitivities[1]:.3f} with one per slice, "
        f"{sensitivities[2]:.3f} with the moved one"
    )
    for name, volume in _real_scans():
        _show(name, _three_ways(model, volume))


def agreement(one: list[Finding], other: list[Finding]) -> Agreement:
    """Compare the sure findings of two lists."""
    sure = [[finding for finding in findings if finding.score >= SURE] for findings in (one, other)]
    own, others = (np.array([finding.box for finding in findings]).reshape(-1, 6) for findings in sure)
    shares = overlaps(own, others)
    partners = np.argwhere(shares > 0.5)
    differences = [abs(sure[0][i].score - sure[1][j].score) for i, j in partners]
    agreeing = len(set(partners[:, 0].tolist())) + len(set(partners[:, 1].tolist()))
    total = len(sure[0]) + len(sure[1])
    return Agreement(
        (len(sure[0]), len(sure[1])),
        agreeing / total if total else 1.0,
        float(np.mean(differences)) if differences else 0.0,
    )


def cropped_by_slice(
    model: LensDetector, volume: Volume, body_of_slice: Callable[[int], Crop], post: PostConfig
) -> list[Finding]:
    """Return the fused findings where the sample around a slice is cropped by the body that is named for the slice."""
    whole = prepare(volume, model.config)
    rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32]]] = []
    for grid_index in range(whole.grid.count):
        nearest = round(whole.grid.depth_mm(grid_index) / volume.geometry.spacing_mm[0])
        own = prepare(volume, model.config, body=body_of_slice(min(nearest, len(volume.voxels) - 1)))
        found = detect_on_slice(model, torch.from_numpy(own.sample(grid_index)), own.grid.size, post)
        for number, boxes in enumerate((*found.experts, found.fused)):
            rows.append((number, grid_index, *_in_series(boxes, own.grid)))
    return [*stack(_proposals(model, whole.grid, rows), FUSED, len(volume.voxels))]


def _three_ways(model: LensDetector, volume: Volume) -> tuple[list[Finding], list[Finding], list[Finding]]:
    """Return the fused findings with a crop per volume, a crop per slice, and the crop of the volume moved a voxel."""
    post = model.config.post.model_copy(update={"score_threshold": 0.01})
    shared = [finding for finding in detect(model, volume, post=post).findings if finding.expert == FUSED]
    by_slice = cropped_by_slice(model, volume, lambda index: body_rectangle(volume.voxels[index : index + 1]), post)
    body = body_rectangle(volume.voxels)
    moved = replace(body, top=body.top - 1 if body.top else 1, left=body.left - 1 if body.left else 1)
    return shared, by_slice, cropped_by_slice(model, volume, lambda index: moved, post)


def _in_series(found: BoxSet, grid: NetworkGrid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return grid.to_series(found.boxes.numpy()).astype(np.float32), found.scores.numpy()


def _proposals(
    model: LensDetector,
    grid: NetworkGrid,
    rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32]]],
) -> Proposals:
    rows = sorted(rows, key=lambda row: row[:2])
    counts = [len(row[3]) for row in rows]
    fused = sum(len(row[3]) for row in rows if row[0] == len(model.config.experts))
    return Proposals(
        experts=(*model.config.experts, FUSED),
        grid_spacing_mm=grid.spacing_mm,
        slice_spacing_mm=grid.geometry.spacing_mm[0],
        expert_index=np.repeat(np.array([row[0] for row in rows], dtype=np.int16), counts),
        grid_index=np.repeat(np.array([row[1] for row in rows], dtype=np.int32), counts),
        boxes=np.concatenate([row[2] for row in rows]),
        scores=np.concatenate([row[3] for row in rows]),
        embeddings=np.zeros((fused, 0), dtype=np.float32),
    )


def _phantoms() -> list[tuple[str, Volume, NDArray[np.float64]]]:
    scans = []
    for seed in TEST_SEEDS[:PHANTOMS]:
        series = make_patient(seed, UNIVERSAL).series[0]
        truth = pad_in_plane(np.array([lesion.box for lesion in series.lesions]).reshape(-1, 6), LABEL_MARGIN)
        scans.append((f"phantom {seed}", series.volume, truth))
    return scans


def _real_scans() -> list[tuple[str, Volume]]:
    default = Path(__file__).resolve().parents[3] / "shared" / "data"
    folder = Path(os.environ.get("LENS_REAL_DATA", default))
    volumes = []
    for place in ("lung_ibsi_phantom/dicom/image", "liver_crlm_1006/dicom", "torso_nifti"):
        if not (folder / place).exists():
            print(f"no real scan at {place}: not compared")
            continue
        volume = read_volume(scan([folder / place]).found[0].source)
        first = max((len(volume.voxels) - REAL_SLICES) // 2, 0)
        voxels = volume.voxels[first : first + REAL_SLICES].copy()
        geometry = VolumeGeometry(voxels.shape, volume.geometry.spacing_mm)
        volumes.append((place.split("/")[0], Volume(voxels, geometry)))
    return volumes


def _show(name: str, ways: tuple[list[Finding], list[Finding], list[Finding]]) -> None:
    by_slice, moved = (agreement(ways[0], other) for other in ways[1:])
    columns = (
        f"{own.findings[1]:4}, {own.share:6.1%} agree, {own.score_difference:5.3f} apart" for own in (by_slice, moved)
    )
    print(f"{name:20} {by_slice.findings[0]:8}   {'   '.join(columns)}", flush=True)


if __name__ == "__main__":
    main()
