"""Findings, candidates, decisions and proposals are values: frozen, comparable, valid from birth."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from lens_engine.errors import BoxError
from lens_engine.findings import (
    FUSED,
    Candidate,
    CandidateKind,
    Finding,
    Reason,
    ReasonCode,
    Rule,
    Scope,
    SliceBox,
    Split,
    Verdict,
)
from lens_engine.proposals import Proposals

FINDING = Finding("lung", (1, 2, 3, 4, 5, 5), (SliceBox(3, (1, 2, 4, 5), 0.5), SliceBox(4, (1, 2, 4, 5), 0.4)), 0.5)


def proposals(count: int = 4, experts: tuple[str, ...] = ("universal", FUSED)) -> Proposals:
    return Proposals(
        experts=experts,
        grid_spacing_mm=2.0,
        slice_spacing_mm=1.0,
        expert_index=np.arange(count, dtype=np.int16) % 2,
        grid_index=np.arange(count, dtype=np.int32),
        boxes=np.tile(np.asarray([[0, 0, 9, 9]], dtype=np.float32), (count, 1)),
        scores=np.linspace(0.1, 0.9, count, dtype=np.float32),
        embeddings=np.zeros((count // 2, 3), dtype=np.float32),
    )


def test_a_finding_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        FINDING.score = 0.9  # type: ignore[misc]  # that is what is tested


def test_candidates_with_the_same_content_are_equal() -> None:
    def candidate(distance: float) -> Candidate:
        reasons = (Reason(Rule.INTRA_PATIENT, annotation_id=7, distance=distance, distance_limit=0.15),)
        return Candidate(1, FINDING, CandidateKind.MISSING_ANNOTATION, reasons)

    assert candidate(0.11) == candidate(0.11)
    assert candidate(0.11) != candidate(0.12)


def test_a_finding_without_other_experts_lists_none() -> None:
    assert dict(FINDING.expert_scores) == {}


def test_stored_words_stay_what_they_are() -> None:
    # They are in databases, snapshots and exports of users: a change here needs a migration.
    assert [*Rule] == ["cross-slice", "intra-patient", "cross-dataset"]
    assert [*CandidateKind] == ["missing annotation", "uncertain"]
    assert [*Verdict] == ["accepted", "rejected", "unsure", "adjusted", "added", "withdrawn"]
    assert [*ReasonCode] == ["vessel", "normal node", "duplicate", "benign"]
    assert [*Scope] == ["universal", "single-type"]
    assert [*Split] == ["train", "val", "test"]


def test_the_proposals_of_one_expert_keep_their_order_and_columns() -> None:
    own = proposals().of(FUSED)
    assert own.grid_index.tolist() == [1, 3]
    assert own.scores.tolist() == proposals().scores[[1, 3]].tolist()
    assert own.experts == ("universal", FUSED)


def test_proposals_with_columns_of_different_length_are_refused() -> None:
    with pytest.raises(BoxError, match=r"\[1, 4\]"):
        Proposals(
            ("universal", FUSED),
            2.0,
            1.0,
            np.zeros(1, dtype=np.int16),
            *(getattr(proposals(), column) for column in ("grid_index", "boxes", "scores", "embeddings")),
        )


def test_rows_are_taken_with_their_embeddings() -> None:
    whole = proposals(6)
    whole.embeddings[:] = np.arange(3)[:, None]
    assert whole.is_fused.tolist() == [False, True] * 3
    assert whole.take(np.array([5, 0, 1])).embeddings[:, 0].tolist() == [2, 0]
    assert whole.of("universal").embeddings.shape == (0, 3)
    np.testing.assert_array_equal(whole.of(FUSED).embeddings, whole.embeddings)


def test_an_embedding_for_every_box_is_refused() -> None:
    columns = {name: getattr(proposals(), name) for name in ("expert_index", "grid_index", "boxes", "scores")}
    with pytest.raises(BoxError, match="4 embeddings for 2 fused boxes"):
        Proposals(("universal", FUSED), 2.0, 1.0, **columns, embeddings=np.zeros((4, 3), dtype=np.float32))


def test_the_fusion_is_the_last_expert() -> None:
    with pytest.raises(BoxError, match="universal"):
        proposals(experts=(FUSED, "universal"))
