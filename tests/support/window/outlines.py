"""The outline of a queue from its records, for tests that have no project on disk."""

from collections.abc import Sequence

import numpy as np

from lens_engine.store.candidates import CandidateRecord
from lens_engine.store.queue.outline import KINDS, OPEN, RULES, VERDICTS, QueueOutline


def outline_of(records: Sequence[CandidateRecord]) -> QueueOutline:
    """Return what the outline of a queue says of these records, in their order."""
    findings = [record.candidate.finding for record in records]
    said = [{finding.expert: finding.score, **finding.expert_scores} for finding in findings]
    experts = tuple(dict.fromkeys(expert for scores in said for expert in scores))
    asking = [{reason.rule for reason in record.candidate.reasons} for record in records]
    verdicts = [OPEN if record.decision is None else VERDICTS.index(record.decision.verdict) for record in records]
    scores = [[scores.get(expert, np.nan) for expert in experts] for scores in said]
    return QueueOutline(
        mining_run=records[0].mining_run if records else None,
        model_version=records[0].model_version if records else None,
        experts=experts,
        ids=np.asarray([record.id for record in records], np.int64),
        series_ids=np.asarray([record.candidate.series_id for record in records], np.int64),
        kinds=np.asarray([KINDS.index(record.candidate.kind) for record in records], np.int8),
        rules=np.asarray([[rule in rules for rule in RULES] for rules in asking], np.bool_).reshape(-1, len(RULES)),
        scores=np.asarray(scores, np.float64).reshape(len(records), len(experts)),
        boxes=np.asarray([finding.box for finding in findings], np.float64).reshape(-1, 6),
        verdicts=np.asarray(verdicts, np.int8),
        comments={record.id: "\n".join(one.text for one in record.comments) for record in records if record.comments},
    )
