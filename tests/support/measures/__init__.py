"""Cases whose right answer is known, and counters."""
