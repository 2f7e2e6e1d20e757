import threading

import numpy as np
import pytest

from lens_engine.detector.config import AnchorConfig, PostConfig, ProposalKind, narrow_lens
from lens_engine.detector.inference.predict import detect, detect_with
from lens_engine.detector.inference.reference import detect_on_volume
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.detector.input_config import CropScope
from lens_engine.detector.preprocess import prepare
from lens_engine.findings import FUSED
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume

ASSEMBLIES = [(kind, stages) for kind in ProposalKind for stages in (1, 2)]


def assembly(config, kind, stages):
    proposal = config.proposal.model_copy(update={"kind": kind, "anchors": AnchorConfig(sizes=(12.0, 30.0))})
    return config.model_copy(update={"proposal": proposal, "head": config.head if stages == 2 else None})


def same_boxes(first, second) -> bool:
    columns = ("expert_index", "grid_index", "boxes", "scores", "embeddings")
    return all(np.array_equal(getattr(first.proposals, c), getattr(second.proposals, c)) for c in columns)


@pytest.mark.parametrize(("kind", "stages"), ASSEMBLIES)
def test_every_assembly_detects_and_embeds(loud_detector, tiny_config, make_volume, kind, stages):
    model = loud_detector(assembly(tiny_config, kind, stages))
    found = detect(model, make_volume(4))
    rows = found.proposals.of(FUSED)
    assert found.findings
    assert {finding.expert for finding in found.findings} == {*tiny_config.experts, FUSED}
    assert rows.embeddings.shape[1] == model.embedding_width
    np.testing.assert_allclose(np.linalg.norm(rows.embeddings, axis=1), 1, atol=1e-5)


def test_detecting_twice_gives_the_same_boxes(tiny_detector, make_volume):
    volume = make_volume(7)
    first, second = detect(tiny_detector, volume), detect(tiny_detector, volume)
    assert len(first.findings) > 5
    assert same_boxes(first, second)
    assert first.findings == second.findings


def test_fused_boxes_carry_unit_embeddings_and_others_none(tiny_detector, make_volume):
    found = detect(tiny_detector, make_volume(4)).proposals
    assert 0 < len(found.embeddings) == len(found.of(FUSED).scores) < len(found.scores)
    np.testing.assert_allclose(np.linalg.norm(found.embeddings, axis=1), 1, atol=1e-5)


def test_rows_are_ordered_by_expert_and_slice(tiny_detector, make_volume):
    found = detect(tiny_detector, make_volume(5)).proposals
    keys = list(zip(found.expert_index.tolist(), found.grid_index.tolist(), strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_series_of_few_slices_is_detected(tiny_detector, make_volume, slices):
    found = detect(tiny_detector, make_volume(slices))
    assert found.findings
    for finding in found.findings:
        assert 0 <= finding.box[2] < finding.box[5] <= slices
        assert len(finding.slices) == finding.box[5] - finding.box[2]


def test_a_series_of_air_is_searched_whole_and_says_so(tiny_detector, caplog):
    voxels = np.full((4, 40, 40), -1000, dtype=np.int16)
    found = detect(tiny_detector, Volume(voxels, VolumeGeometry(voxels.shape, (5.0, 2.0, 2.0))))
    assert found.proposals.grid_index.max(initial=0) <= 8
    assert "no body" in caplog.text


def test_nothing_above_the_threshold_is_an_empty_result(tiny_detector, make_volume):
    found = detect(tiny_detector, make_volume(4), post=PostConfig(score_threshold=0.9999))
    assert found.findings == ()
    assert found.proposals.boxes.shape == (0, 4)
    assert found.proposals.embeddings.shape == (0, tiny_detector.embedding_width)


def test_progress_reaches_the_number_of_grid_slices(tiny_detector, make_volume):
    told = []
    detect(tiny_detector, make_volume(7), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (8, 8)
    assert told == sorted(told)


def test_stopping_early_leaves_no_thread_behind(tiny_detector, make_volume):
    def stop(done, total):
        raise InterruptedError("enough")

    with pytest.raises(InterruptedError):
        detect(tiny_detector, make_volume(60), on_progress=stop)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_one_prepared_detector_serves_many_series(tiny_detector, make_volume):
    detector = InferenceDetector(tiny_detector)
    for slices in (7, 4):
        volume = make_volume(slices)
        assert same_boxes(detect_with(detector, volume), detect(tiny_detector, volume))


def tapering(slices: int, spacing_mm=(5.0, 2.0, 2.0)) -> Volume:
    """Return a noisy body that is smaller on every slice, and away from the last one."""
    voxels = np.full((slices, 72, 64), -1000, dtype=np.int16)
    for index in range(slices - 1):
        part = voxels[index, 2 + 2 * index : 70, 3 + 3 * index : 62]
        part[:] = np.maximum(np.random.default_rng(index).normal(40, 200, part.shape), -700)
    return Volume(voxels, VolumeGeometry(voxels.shape, spacing_mm))


@pytest.mark.parametrize("crop", CropScope)
@pytest.mark.parametrize("stages", [1, 2])
def test_either_crop_gives_the_boxes_of_the_plain_detector(loud_detector, tiny_config, crop, stages):
    model = loud_detector(assembly(tiny_config, ProposalKind.AFP, stages).model_copy(update={"crop": crop}))
    volume = tapering(5)
    plain, found = detect_on_volume(model, volume), detect(model, volume).proposals.of(FUSED)
    assert len({grid.crop for grid, _ in plain}) == (1 if crop is CropScope.VOLUME else 4)  # the last one is empty
    for index, (grid, slice_) in enumerate(plain):
        rows = found.grid_index == index
        np.testing.assert_allclose(found.scores[rows], slice_.fused.scores.numpy(), atol=1e-4)
        np.testing.assert_allclose(found.boxes[rows], grid.to_series(slice_.fused.boxes.numpy()), atol=1e-2)


def test_a_crop_for_each_slice_finds_other_boxes_where_slices_differ(loud_detector, tiny_config):
    configs = (tiny_config.model_copy(update={"crop": crop}) for crop in CropScope)
    one, other = (detect(loud_detector(config), tapering(5)) for config in configs)
    assert not same_boxes(one, other)


def test_findings_lie_inside_the_series(tiny_detector, make_volume):
    volume = make_volume(6, (2.5, 1.1, 0.9))
    depth, height, width = volume.geometry.shape
    for finding in detect(tiny_detector, volume).findings:
        x1, y1, z1, x2, y2, z2 = finding.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert 0 <= z1 < z2 <= depth


@pytest.mark.real_data
def test_an_untrained_narrow_detector_runs_on_a_real_scan(real_data, loud_detector):
    read = pytest.importorskip("lens_engine.io.series")
    found = next(iter(read.scan([real_data / "liver_crlm_1006"]).found))
    volume = read.read_volume(found.source)
    config = narrow_lens(("universal", "liver"))
    grid = prepare(volume, config).grid
    box = np.array([[200.0, 180, 260, 250]])
    np.testing.assert_allclose(grid.to_series(grid.to_network(box)), box, atol=0.5)
    assert grid.count == int(50 * 5.0 / 4.0) + 1
    assert detect(loud_detector(config), volume).findings
