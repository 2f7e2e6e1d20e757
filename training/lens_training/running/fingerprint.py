"""What tells one run, or one set of data, from another."""

import hashlib
import json


def fingerprint(*parts: object) -> str:
    """Return a digest that is equal for equal parts, in this order; each is anything that JSON can say."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
