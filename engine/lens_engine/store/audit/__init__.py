"""Whether the log of decisions is whole: every reader's decisions form a chain of hashes."""
