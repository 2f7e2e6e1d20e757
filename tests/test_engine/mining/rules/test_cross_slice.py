"""Cross-slice propagation: an annotation goes on where a tracklet agrees with it on its slice (algorithms 5.1)."""

from dataclasses import replace

import numpy as np
import pytest
from support.measures.mining_cases import Seen, annotation, proposals

from lens_engine.findings import SliceBox
from lens_engine.mining.inputs import AnnotationOnSeries
from lens_engine.mining.rules.cross_slice import adds_slices, continue_annotations, keep_annotated_slices
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets

SETTINGS = MiningSettings()
LESION = Seen(100, range(4, 9), {"universal": 0.9})


def tracklets(*lesions: Seen, slice_mm: float = 2.0) -> Tracklets:
    return build_tracklets(proposals(list(lesions), slice_mm), SETTINGS)


def test_the_tracklet_with_the_highest_iou_continues_the_annotation() -> None:
    worse = Seen(103, range(6, 7), {"universal": 0.95})
    found = continue_annotations(tracklets(worse, LESION), [annotation(1, 101, 6)], SETTINGS)
    assert found.iou.tolist() == pytest.approx([380 / 420])
    assert len(tracklets(worse, LESION).chains[int(found.tracklet[0])]) in (1, 5)


def test_an_iou_of_half_does_not_continue() -> None:
    found = continue_annotations(tracklets(LESION), [annotation(1, 100 + 20 / 3, 6)], SETTINGS)
    assert found.tracklet.tolist() == [-1]
    assert continue_annotations(tracklets(LESION), [annotation(1, 106, 6)], SETTINGS).tracklet.tolist() == [0]


def test_a_tracklet_that_misses_the_key_slice_does_not_continue() -> None:
    assert continue_annotations(tracklets(LESION), [annotation(1, 100, 12)], SETTINGS).tracklet.tolist() == [-1]


def test_one_tracklet_continues_two_marks_of_one_lesion() -> None:
    marks = [annotation(1, 100, 5), annotation(2, 100, 8), annotation(3, 300, 8)]
    assert continue_annotations(tracklets(LESION), marks, SETTINGS).tracklet.tolist() == [0, 0, -1]


@pytest.mark.parametrize(("slice_mm", "slice_index"), [(1.0, 12), (5.0, 2), (0.8, 15)])
def test_the_key_slice_is_met_at_its_nearest_grid_slice(slice_mm: float, slice_index: int) -> None:
    found = continue_annotations(tracklets(LESION, slice_mm=slice_mm), [annotation(1, 100, slice_index)], SETTINGS)
    assert found.tracklet.tolist() == [0]


def test_the_annotators_box_stays_on_the_annotated_slice() -> None:
    mark = annotation(1, 102, 6)
    chains = tracklets(LESION)
    (finding,) = chains.findings(np.asarray([0]), chains.members, 60)
    kept = keep_annotated_slices(finding, [mark])
    assert [section.box[0] for section in kept.slices] == [100, 100, 102, 100, 100]
    assert kept.slices[2].score == 1
    assert kept.box == finding.box


def test_a_lesion_that_is_annotated_along_its_whole_extent_gains_nothing() -> None:
    chains, key_slice_mark = tracklets(LESION), annotation(1, 100, 6)
    (finding,) = chains.findings(np.asarray([0]), chains.members, 60)
    assert adds_slices(finding, [key_slice_mark])
    assert not adds_slices(finding, [replace(key_slice_mark, key_slice=None)])
    sections = tuple(SliceBox(k, (100, 50, 120, 70)) for k in range(4, 9))
    assert not adds_slices(finding, [replace(key_slice_mark, slices=sections)])


def test_an_annotation_without_sections_stands_for_its_box_on_every_slice() -> None:
    lesion = AnnotationOnSeries(1, (1, 2, 3, 4, 5, 6), ())
    assert lesion.cross_sections() == tuple(SliceBox(k, (1, 2, 4, 5)) for k in (3, 4, 5))
    assert continue_annotations(tracklets(LESION), [lesion], SETTINGS).tracklet.tolist() == [-1]
