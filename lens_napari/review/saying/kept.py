"""What a reader said and no database had taken when his window closed: kept in a small file, said again by the next.

A database that is gone for longer than a window may wait for it takes no decision with it.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.errors import LensError, ProjectError
from lens_engine.findings import Decision, Verdict
from lens_engine.io.atomic_files import replace_bytes
from lens_engine.store.decisions import SettledError
from lens_napari.editing.drawn import DrawnWrite
from lens_napari.review.saying.unsaid_file import FOLDER
from lens_napari.review.session import Write

CLOSING_SECONDS = 5.0
"""How long a window that is closed waits for what its reader has said to be on disk."""

logger = logging.getLogger(__name__)

_ONE_AT_A_TIME = Lock()
"""A window that closes and the lane that it leaves behind may both change its file."""


class KeptDecision(BaseModel):
    """One decision that is not on disk.

    Attributes
    ----------
    seen
        What held for the lesion until then, as far as the reader knew; of a lesion that was asked about.
    row_id, was_there
        The latest row about a drawn lesion, and whether the lesion is there until now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    said: Decision
    is_drawn: bool
    seen: Decision | None = None
    row_id: int | None = None
    was_there: bool = False


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    decisions: tuple[KeptDecision, ...] = ()


@dataclass(frozen=True, slots=True)
class SaidAgain:
    """What became of kept decisions.

    Attributes
    ----------
    settled, refused
        Why some of them are not on disk: others have said something about the lesion, which counts, or the database
        refused. What was refused stays in the file.
    """

    saved: int
    settled: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()

    @property
    def is_incomplete(self) -> bool:
        """Whether any of them is not on disk."""
        return bool(self.settled or self.refused)


class KeptFile:
    """The file of one reader in one kind of window.

    Parameters
    ----------
    window
        What kind of window.
    """

    def __init__(self, project_folder: Path, reader: str, window: str = "review") -> None:
        self._path = project_folder / FOLDER / f"{quote(reader, safe=' ')}, {window}, not saved.json"

    def keep(self, unsaved: Sequence[Write | DrawnWrite | str]) -> None:
        """Keep what is not on disk, and say so where the program was started from; words name what cannot be kept."""
        for words in unsaved:
            if isinstance(words, str):
                logger.error("not saved, for the database does not answer: %s", words)
        news = kept_of(write for write in unsaved if not isinstance(write, str))
        if not news:
            return
        try:
            with _ONE_AT_A_TIME:
                self._save((*self._load(), *news))
        except (OSError, ProjectError) as error:
            lost = ", ".join(f"{one.said.verdict} in series {one.said.series_id}" for one in news)
            logger.error("%d decisions could be neither saved nor kept (%s): %s", len(news), error, lost)
        else:
            logger.warning(
                "%d decisions could not be saved, for the database does not answer. They are kept in %s and are saved "
                "when this reader opens the project next",
                len(news),
                self._path,
            )

    def say_again(self, write: Callable[[KeptDecision], None]) -> SaidAgain:
        """Write what was kept, in order, with a function that raises `LensError` where it is not on disk then.

        Raises
        ------
        ProjectError
            If the file cannot be read.
        """
        with _ONE_AT_A_TIME:
            kept = self._load()
        saved, settled, refused = 0, [], []
        for one in kept:
            try:
                write(one)
                saved += 1
            except SettledError as error:
                settled.append(error.happened)
            except LensError as error:
                refused.append(str(error))
                continue
            with _ONE_AT_A_TIME:
                self._save([other for other in self._load() if other != one])
        return SaidAgain(saved, tuple(settled), tuple(refused))

    def _load(self) -> tuple[KeptDecision, ...]:
        if not self._path.is_file():
            return ()
        try:
            return _Content.model_validate_json(self._path.read_bytes()).decisions
        except (ValidationError, OSError) as error:
            raise ProjectError(
                f"The decisions in {self._path} that could not be saved cannot be read",
                "JSON as the viewer writes it",
                "Correct the file; it is the only place where they are",
            ) from error

    def _save(self, decisions: Sequence[KeptDecision]) -> None:
        if decisions:
            replace_bytes(self._path, _Content(decisions=tuple(decisions)).model_dump_json(indent=1).encode())
        else:
            self._path.unlink(missing_ok=True)


def kept_of(unsaved: Iterable[Write | DrawnWrite]) -> tuple[KeptDecision, ...]:
    """Return writes as they are kept: every verdict, and of a drawn lesion what it is in the end."""
    kept: dict[object, KeptDecision] = {}
    for write in unsaved:
        if isinstance(write, Write):
            kept[object()] = KeptDecision(said=write.decision, is_drawn=False, seen=write.seen)
            continue
        before = kept.get(write.row)
        was_there = write.was_there if before is None else before.was_there
        kept[write.row] = KeptDecision(said=write.said, is_drawn=True, row_id=write.row.id, was_there=was_there)
    return tuple(one for one in kept.values() if one.was_there or one.said.verdict is not Verdict.WITHDRAWN)


def said_again_words(again: SaidAgain) -> str:
    """Return what a reader is told of decisions that were kept; nothing where there were none."""
    sentences = []
    if again.saved:
        are = "decision is" if again.saved == 1 else "decisions are"
        sentences.append(f"{again.saved} {are} saved now that could not be saved when the window was closed.")
    if again.settled:
        sentences.append(f"{len(again.settled)} were not saved: {'. '.join(again.settled)}.")
    if again.refused:
        sentences.append(f"{len(again.refused)} still wait to be saved: {' '.join(again.refused)}")
    return " ".join(sentences)
