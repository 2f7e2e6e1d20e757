"""How long work tells whoever waits how far it has come."""

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""Told how many units are done, and of how many."""
