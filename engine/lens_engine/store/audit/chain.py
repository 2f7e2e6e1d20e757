"""The hash of a decision: it covers what was said and the hash of what the same reader said before it.

Who changes a row, takes one out or puts one in breaks the chain there. Who takes rows off its end does not: the heads
of the chains are in every snapshot, and have to be found again.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

COLUMNS = (
    "series_id", "candidate_id", "previous_id", "verdict", "reason_code", "round", "scores_hidden", "decided_at",
    "x1", "y1", "z1", "x2", "y2", "z2", "slices", "lesion_type", "comment", "axes", "along_id", "reading_id",
)  # fmt: skip
"""What a hash covers. It stays as it is for ever: stored hashes are computed from it again."""


def first_link(reader: str) -> str:
    """Return what the first decision of a reader follows."""
    return hashlib.sha256(f"decisions of {reader}".encode()).hexdigest()


def next_link(link: str, decision: Mapping[str, Any]) -> str:
    """Return the hash of a decision, 64 hexadecimal digits.

    Parameters
    ----------
    link
        The hash of the reader's decision before it.
    decision
        Values by `COLUMNS`, as they are stored; others are left out.
    """
    content = {name: _plain(decision[name]) for name in COLUMNS}
    text = json.dumps([link, content], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    return value
