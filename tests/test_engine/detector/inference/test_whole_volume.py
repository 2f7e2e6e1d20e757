"""Whole-volume inference against the detector written plainly, slice by slice."""

import copy
import itertools

import numpy as np
import pytest
import torch

from lens_engine.boxes import overlaps
from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.config import AnchorConfig, ProposalKind
from lens_engine.detector.inference.predict import detect
from lens_engine.detector.inference.reference import dense_proposals, detect_on_slice
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferencePrecision, InferenceSettings
from lens_engine.detector.network import ops
from lens_engine.detector.preprocess import prepare
from lens_engine.errors import CheckpointError, ConfigError
from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.patient import UNIVERSAL, VAL_SEEDS, make_patient
from lens_engine.volume import Volume

ASSEMBLIES = list(itertools.product(ProposalKind, (1, 2)))
CPU = torch.device("cpu")


def assembly(config, kind, stages):
    proposal = config.proposal.model_copy(update={"kind": kind, "anchors": AnchorConfig(sizes=(12.0, 30.0))})
    return config.model_copy(update={"proposal": proposal, "head": config.head if stages == 2 else None})


def detected(model, prepared, settings):
    """Return (experts + fused) lists of (boxes, scores) of every grid slice, and the embeddings of the fused ones."""
    detector, grid, found = InferenceDetector(model, settings), prepared.grid, []
    slices = prepared.network_slices(detector.device)
    for chunk in detector.detect(slices, grid.count, grid.size, model.config.post):
        experts, fused = chunk.detections
        ends = np.cumsum(fused.counts.tolist())
        for i, embeddings in enumerate(np.split(chunk.embeddings, ends[:-1])):
            own = [(experts.boxes[i, e], experts.scores[i, e]) for e in range(experts.scores.shape[1])]
            sets = [
                (boxes[scores >= 0], scores[scores >= 0]) for boxes, scores in (*own, (fused.boxes[i], fused.scores[i]))
            ]
            found.append((sets, torch.as_tensor(embeddings)))
    return found


def referred(model, prepared, dtype):
    """Return what the plain detector says on every grid slice, computed in a precision."""
    model = copy.deepcopy(model).to(dtype)
    samples = (torch.from_numpy(prepared.sample(index)).to(dtype) for index in range(prepared.grid.count))
    return [detect_on_slice(model, sample, prepared.grid.size) for sample in samples]


def is_same(sets, reference, tolerance):
    """Return whether boxes and scores of all experts and of the fusion agree one by one."""
    expected = [(own.boxes, own.scores) for own in (*reference.experts, reference.fused)]
    return all(
        len(scores) == len(other_scores)
        and torch.allclose(boxes.double(), other_boxes.double(), rtol=0, atol=100 * tolerance)
        and torch.allclose(scores.double(), other_scores.double(), rtol=0, atol=tolerance)
        for (boxes, scores), (other_boxes, other_scores) in zip(sets, expected, strict=True)
    )


def assert_equal_in_double_precision(model, volume, chunk):
    prepared = prepare(volume, model.config)
    found = detected(model, prepared, InferenceSettings(InferencePrecision.FP64, chunk=chunk))
    expected = referred(model, prepared, torch.float64)
    assert len(found) == len(expected) == prepared.grid.count
    assert sum(len(reference.fused.scores) for reference in expected) > 0
    for (sets, embeddings), reference in zip(found, expected, strict=True):
        assert is_same(sets, reference, 1e-9)
        torch.testing.assert_close(embeddings.double(), reference.embeddings, rtol=0, atol=1e-6)


@pytest.mark.parametrize("slices", [1, 2, 3, 7, 20])
def test_a_series_of_any_length_gets_the_boxes_of_the_plain_detector(tiny_detector, make_volume, slices):
    assert_equal_in_double_precision(tiny_detector, make_volume(slices), chunk=4)


@pytest.mark.parametrize(("kind", "stages"), ASSEMBLIES)
def test_every_assembly_gets_the_boxes_of_the_plain_detector(loud_detector, tiny_config, make_volume, kind, stages):
    assert_equal_in_double_precision(loud_detector(assembly(tiny_config, kind, stages)), make_volume(6), chunk=3)


@pytest.mark.parametrize("chunk", [1, 2, 5, 64])
def test_boxes_do_not_depend_on_the_size_of_the_chunks(tiny_detector, make_volume, chunk):
    assert_equal_in_double_precision(tiny_detector, make_volume(9), chunk)


def test_single_precision_differs_only_where_a_decision_hangs_on_it(tiny_detector, make_volume):
    """Boxes may differ where a score or an overlap lies within 1e-5 of what decides about it, and nowhere else."""
    prepared = prepare(make_volume(20), tiny_detector.config)
    exact = referred(tiny_detector, prepared, torch.float64)
    double = copy.deepcopy(tiny_detector).double()
    clear = [margin(double, reference, prepared.grid.size) > 1e-5 for reference in exact]
    assert sum(clear) > 10  # otherwise this test would say little
    for chunk in (1, 4):
        found = detected(tiny_detector, prepared, InferenceSettings(chunk=chunk))
        for (sets, _), reference, is_clear in zip(found, exact, clear, strict=True):
            assert is_same(sets, reference, 1e-5) or not is_clear


@pytest.mark.gpu
def test_a_gpu_finds_the_boxes_of_the_plain_detector(tiny_detector, make_volume):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    prepared = prepare(make_volume(20), tiny_detector.config)
    exact = referred(tiny_detector, prepared, torch.float64)
    double = copy.deepcopy(tiny_detector).double()
    clear = [margin(double, reference, prepared.grid.size) > 1e-5 for reference in exact]
    found = detected(tiny_detector.cuda(), prepared, InferenceSettings())
    for (sets, _), reference, is_clear in zip(found, exact, clear, strict=True):
        assert is_same(sets, reference, 1e-5) or not is_clear


@pytest.mark.parametrize("stages", [1, 2])
def test_slices_without_any_proposal_have_no_boxes(loud_detector, tiny_config, make_volume, stages):
    config = assembly(tiny_config, ProposalKind.AFP, stages)
    proposal = config.proposal.model_copy(update={"min_side": 1000.0})
    model = loud_detector(config.model_copy(update={"proposal": proposal}))
    found = detected(model, prepare(make_volume(4), config), InferenceSettings())
    assert len(found) == 4
    assert not any(len(scores) for sets, _ in found for _, scores in sets)
    assert all(embeddings.shape == (0, model.embedding_width) for _, embeddings in found)


def test_single_precision_features_are_those_of_the_plain_detector(tiny_detector, make_volume):
    prepared = prepare(make_volume(8), tiny_detector.config)
    with torch.inference_mode():
        slices = prepared.network_slices(CPU)
        chunks = list(InferenceDetector(tiny_detector).features(slices, prepared.grid.count))
    expected = torch.cat([reference.features for reference in referred(tiny_detector, prepared, torch.float32)])
    found = torch.cat([chunk.features for chunk in chunks])
    assert ((found - expected).abs().max() / expected.abs().max()).item() < 1e-5


def test_half_precision_keeps_features_within_its_tolerance(tiny_detector, make_volume):
    prepared = prepare(make_volume(8), tiny_detector.config)
    with torch.inference_mode():
        slices = prepared.network_slices(CPU)
        settings = InferenceSettings(InferencePrecision.BF16)
        chunks = list(InferenceDetector(tiny_detector, settings).features(slices, prepared.grid.count))
    expected = torch.cat([reference.features for reference in referred(tiny_detector, prepared, torch.float32)])
    found = torch.cat([chunk.features for chunk in chunks])
    assert found.dtype == torch.bfloat16
    error = (found.float() - expected).square().mean().sqrt() / expected.std()
    assert 1e-4 < float(error) < 0.02


def test_half_precision_keeps_the_boxes_of_a_trained_detector_within_its_tolerance():
    model, _ = load_checkpoint(demo_checkpoint_folder())
    voxels = make_patient(VAL_SEEDS[1], UNIVERSAL).series[0].volume.voxels[20:50]
    volume = Volume(voxels, VolumeGeometry(voxels.shape, (4.0, 1.4, 1.4)))
    single, half = (
        detect(model, volume, settings=InferenceSettings(precision)).proposals
        for precision in (InferencePrecision.FP32, InferencePrecision.BF16)
    )
    differences = []
    for one, other in ((single, half), (half, single)):
        for row in np.flatnonzero(one.scores >= 0.1):
            rivals = np.flatnonzero(
                (other.grid_index == one.grid_index[row]) & (other.expert_index == one.expert_index[row])
            )
            found = rivals[overlaps(one.boxes[[row]], other.boxes[rivals])[0] > 0.7]
            differences.append(np.abs(other.scores[found] - one.scores[row]).min(initial=1.0))
    assert len(differences) > 200
    assert np.mean(np.array(differences) < 1) >= 0.95
    assert np.mean(np.array(differences) < 0.03) >= 0.95**2
    assert max(differences) > 1e-4  # it is not single precision under another name


def test_output_that_is_not_finite_is_reported_with_its_slice(tiny_detector):
    slices = [torch.zeros(64, 64) for _ in range(12)]
    slices[7][30, 30] = float("nan")
    detector = InferenceDetector(tiny_detector)
    with pytest.raises(CheckpointError, match="grid slice 3 of 12 is not finite"):
        list(detector.detect(iter(slices), 12, (64, 64), tiny_detector.config.post))


BROKEN_PARTS = [
    ("proposers.0.centerness.2", 1),
    ("proposers.1.sizes.2", 1),
    ("proposers.0.centerness.2", 2),
    ("proposers.1.sizes.2", 2),
    ("head.fc7", 2),
    ("regressors.0", 2),
]


@pytest.mark.parametrize(("part", "stages"), BROKEN_PARTS)
def test_broken_weights_are_no_empty_result(loud_detector, tiny_config, make_volume, part, stages):
    model = loud_detector(assembly(tiny_config, ProposalKind.AFP, stages))
    with torch.no_grad():
        model.get_submodule(part).bias.fill_(float("nan"))
    prepared = prepare(make_volume(3), model.config)
    with pytest.raises(CheckpointError, match="grid slice 0 of"):
        detected(model, prepared, InferenceSettings())


def test_the_model_itself_stays_as_it_is(tiny_detector, make_volume):
    before = copy.deepcopy(tiny_detector.state_dict())
    detected(tiny_detector, prepare(make_volume(3), tiny_detector.config), InferenceSettings(InferencePrecision.BF16))
    after = tiny_detector.state_dict()
    assert all(torch.equal(after[name], value) and after[name].dtype == value.dtype for name, value in before.items())


def test_computing_leaves_no_mode_behind(tiny_detector, make_volume):
    prepared = prepare(make_volume(12), tiny_detector.config)
    detector, grid = InferenceDetector(tiny_detector, InferenceSettings(chunk=2)), prepared.grid
    chunks = detector.detect(prepared.network_slices(CPU), grid.count, grid.size, tiny_detector.config.post)
    next(chunks)
    assert not torch.is_inference_mode_enabled()


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="0 slices"):
        InferenceSettings(chunk=0)


def test_compiling_without_a_compiler_is_refused(tiny_detector, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="no-such-compiler is missing"):
        InferenceDetector(tiny_detector, InferenceSettings(compiles=True))


@pytest.mark.slow
def test_a_compiled_detector_finds_the_same_boxes(tiny_detector, make_volume):
    prepared = prepare(make_volume(6), tiny_detector.config)
    plain, compiled = (detected(tiny_detector, prepared, InferenceSettings(compiles=flag)) for flag in (False, True))
    for (sets, _), (others, _) in zip(plain, compiled, strict=True):
        for (boxes, scores), (other_boxes, other_scores) in zip(sets, others, strict=True):
            torch.testing.assert_close(boxes, other_boxes, rtol=0, atol=1e-3)
            torch.testing.assert_close(scores, other_scores, rtol=0, atol=1e-5)


@torch.inference_mode()
def margin(model, reference, size):
    """Return how far every decision on a slice is from falling the other way, in scores, overlaps or pixels."""
    limits, post = model.config.proposal, model.config.post
    margins = []
    for network in model.proposal_networks():
        everywhere = dense_proposals(network, reference.features)
        scores, best = everywhere.scores.sort(descending=True)
        margins += (scores[limits.pre_nms - 1] - scores[limits.pre_nms :][:1]).tolist()
        boxes = ops.clip_boxes(everywhere.boxes[best[: limits.pre_nms]], size)
        margins += (boxes[:, 2:] - boxes[:, :2] - limits.min_side).abs().flatten().tolist()
    margins.append(nms_margin(*joined(reference.candidates), limits.nms, limits.post_nms))
    for expert in range(len(reference.experts)):
        scores, boxes = reference.expert_scores[:, expert], reference.expert_boxes[:, expert]
        margins += (scores - post.score_threshold).abs().tolist()
        sure = scores >= post.score_threshold
        margins.append(nms_margin(boxes[sure], scores[sure], post.nms, post.per_slice))
    margins.append(nms_margin(*joined(reference.experts), post.nms, None))
    return min(margins)


def nms_margin(boxes, scores, threshold, limit):
    overlap = ops.box_iou(boxes, boxes)
    others = ~torch.eye(len(boxes), dtype=torch.bool)
    gaps = (scores[:, None] - scores[None, :]).abs()
    rivals = others & (overlap > threshold - 1e-3)
    margins = [*(overlap - threshold).abs()[others].tolist(), *gaps[rivals].tolist()]
    kept = scores[ops.non_maximum_suppression(boxes, scores, threshold)]
    margins += (kept[:-1] - kept[1:]).tolist()  # they are compared one by one, in their order
    return min(margins, default=1.0)


def joined(sets):
    return torch.cat([own.boxes for own in sets]), torch.cat([own.scores for own in sets])
