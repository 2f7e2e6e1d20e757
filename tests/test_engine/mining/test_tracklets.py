"""Tracklets are made of the sure fused boxes, each in exactly one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.mining_cases import EXPERTS, Seen, proposals

from lens_engine.findings import FUSED
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.tracklets import build_tracklets

SETTINGS = MiningSettings()

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
