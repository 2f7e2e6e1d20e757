"""Tracklets are made of the sure fused boxes, each in exactly one."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.measures.counting_array import counted
from support.measures.mining_cases import EXPERTS, Seen, proposals

from lens_engine.findings import FUSED
from lens_engine.mining.places import lies_at
from lens_engine.mining.settings import Linking, MiningSettings
from lens_engine.mining.tracklets import Tracklets, build_tracklets

SETTINGS = MiningSettings()
CONNECTED = MiningSettings(linking=Linking.CONNECTED)

lesions = st.builds(
    Seen,
    x=st.integers(0, 60).map(float),
    grid=st.builds(lambda first, length: range(first, first + length), st.integers(0, 8), st.integers(1, 6)),
    scores=st.dictionaries(st.sampled_from(EXPERTS[:-1]), st.integers(0, 20).map(lambda n: n / 20), min_size=1),
    look=st.floats(0, 90),
)


@given(st.lists(lesions, max_size=8))
def test_every_sure_fused_box_is_in_exactly_one_tracklet(seen: list[Seen]) -> None:
    boxes = proposals(seen)
    tracklets = build_tracklets(boxes, SETTINGS)
    fused = boxes.of(FUSED)
    assert len(tracklets.members.scores) == np.count_nonzero(fused.scores >= SETTINGS.tracklet_min_score)
    members = [row for chain in tracklets.chains for row in chain.tolist()]
    assert sorted(members) == list(range(len(tracklets.members.scores)))
    for tracklet, chain in enumerate(tracklets.chains):
        assert (tracklets.tracklet_of_member[chain] == tracklet).all()


def test_boxes_below_the_score_are_left_out_and_one_at_the_score_is_not() -> None:
    seen = [Seen(0, range(1), {"lung": 0.049}), Seen(30, range(1), {"lung": 0.05}), Seen(60, range(1), {"lung": 0.5})]
    assert len(build_tracklets(proposals(seen), SETTINGS).chains) == 2


def test_the_embedding_is_that_of_the_centre_slice() -> None:
    seen = [Seen(0, range(4, 5), {"lung": 0.5}, look=0), Seen(1, range(5, 6), {"lung": 0.5}, look=90)]
    tracklets = build_tracklets(proposals(seen), SETTINGS)
    assert len(tracklets.chains) == 1
    assert np.allclose(tracklets.embeddings, [[1, 0]])  # (first + last) // 2 of two


def test_a_series_without_boxes_has_no_tracklets() -> None:
    tracklets = build_tracklets(proposals([]), SETTINGS)
    assert tracklets.chains == ()
    assert tracklets.embeddings.shape == (0, 2)


@dataclass(frozen=True)
class Drawing:
    """Squares of 20 on grid slices, written (slice, x), and the tracklets they belong to.

    Moved by d along x, two of them have an IoU of (20 - d) / (20 + d): 0.67 for 4, exactly a half for 20 / 3.
    """

    boxes: tuple[tuple[int, float], ...]
    one_to_one: tuple[set[tuple[int, float]], ...]
    connected: tuple[set[tuple[int, float]], ...]


def agreed(boxes: tuple[tuple[int, float], ...], *tracklets: set[tuple[int, float]]) -> Drawing:
    return Drawing(boxes, tracklets, tracklets)


DRAWINGS = {
    "straight through": agreed(((3, 0), (4, 0), (5, 0)), {(3, 0), (4, 0), (5, 0)}),
    "drifting aside": agreed(((3, 0), (4, 4), (5, 8), (6, 12)), {(3, 0), (4, 4), (5, 8), (6, 12)}),
    "a missing slice": agreed(((3, 0), (5, 0)), {(3, 0)}, {(5, 0)}),
    "side by side": agreed(((3, 0), (3, 30), (4, 0), (4, 30)), {(3, 0), (4, 0)}, {(3, 30), (4, 30)}),
    "a jump aside": agreed(((3, 0), (4, 7)), {(3, 0)}, {(4, 7)}),
    "a fork": Drawing(((3, 0), (4, -4), (4, 3)), ({(3, 0), (4, 3)}, {(4, -4)}), ({(3, 0), (4, -4)},)),
    "two that flow together": Drawing(((3, -4), (3, 3), (4, 0)), ({(3, -4)}, {(3, 3), (4, 0)}), ({(3, -4), (4, 0)},)),
    "the better pair first": Drawing(
        ((3, 0), (3, 6), (4, 4), (5, 4)), ({(3, 0)}, {(3, 6), (4, 4), (5, 4)}), ({(3, 0), (4, 4), (5, 4)},)
    ),
}


def drawn(drawing: Drawing, settings: MiningSettings) -> Tracklets:
    seen = [Seen(x, range(slice_index, slice_index + 1), {"lung": 0.5}) for slice_index, x in drawing.boxes]
    return build_tracklets(proposals(seen), settings)


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("linking", Linking)
def test_boxes_are_linked_as_drawn(name: str, linking: Linking) -> None:
    drawing = DRAWINGS[name]
    tracklets = drawn(drawing, MiningSettings(linking=linking))
    grid, x = tracklets.members.grid_index.tolist(), tracklets.members.boxes[:, 0].tolist()
    found = [{(grid[row], x[row]) for row in chain.tolist()} for chain in tracklets.chains]
    assert found == list(drawing.one_to_one if linking is Linking.ONE_TO_ONE else drawing.connected)


def test_a_connected_tracklet_has_all_boxes_and_shows_the_best_of_each_slice() -> None:
    above = Seen(0, range(3, 4), {"lung": 0.9})
    seen = [above, Seen(4, range(4, 5), {"lung": 0.6}), Seen(-4, range(4, 5), {"lung": 0.7})]
    tracklets = build_tracklets(proposals(seen), CONNECTED)
    assert tracklets.tracklet_of_member.tolist() == [0, 0, 0]
    (chain,) = tracklets.chains
    assert tracklets.members.boxes[chain, 0].tolist() == [0, -4]
    (finding,) = tracklets.findings(np.asarray([0]), tracklets.members, 60)
    assert [section.slice_index for section in finding.slices] == [3, 4]


def test_a_series_without_boxes_has_no_connected_tracklets() -> None:
    assert build_tracklets(proposals([]), CONNECTED).chains == ()


@given(st.lists(lesions, max_size=8))
def test_connected_tracklets_are_whole_one_to_one_tracklets_put_together(seen: list[Seen]) -> None:
    single, joined = (build_tracklets(proposals(seen), settings) for settings in (SETTINGS, CONNECTED))
    assert len(joined.chains) <= len(single.chains)
    for chain in single.chains:
        assert len(set(joined.tracklet_of_member[chain].tolist())) == 1
    for chain in joined.chains:
        assert (np.diff(joined.members.grid_index[chain]) == 1).all()


@pytest.mark.parametrize("settings", [SETTINGS, CONNECTED])
def test_the_work_grows_with_the_number_of_slices_and_no_faster(settings: MiningSettings) -> None:
    def work(slices: int) -> int:
        boxes = proposals([Seen(30.0 * i, range(slices), {"lung": 0.5}) for i in range(5)])
        columns, counter = counted(boxes.boxes, boxes.grid_index, boxes.scores)
        boxes = replace(boxes, boxes=columns[0], grid_index=columns[1], scores=columns[2])
        tracklets = build_tracklets(boxes, settings)
        lies_at(tracklets.members.boxes, tracklets.members.grid_index, tracklets.marks(np.asarray([0, 3])), 0.5)
        tracklets.findings(np.arange(len(tracklets.chains)), boxes, slices)
        return counter.elements

    assert work(1000) < 1.1 * 10 * work(100)
