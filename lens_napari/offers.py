"""Where scans go that somebody opens while a project is reviewed: to that project, where its review wants them."""

from collections.abc import Callable, Sequence
from pathlib import Path

Taker = Callable[[Sequence[Path]], bool]
"""Told what was opened; returns whether it will be added rather than shown."""

_takers: list[Taker] = []


def offer_scans(paths: Sequence[Path]) -> bool:
    """Offer files and folders to the reviews that are open, the latest first; return whether one takes them."""
    return any(taker(paths) for taker in reversed(_takers))


def take_offers(taker: Taker) -> None:
    """Ask for what will be opened."""
    _takers.append(taker)


def refuse_offers(taker: Taker) -> None:
    """Let napari show what will be opened; nothing happens for one who never asked."""
    if taker in _takers:
        _takers.remove(taker)
