"""Which scan, or file, a process of a run is at, so that no other one does its work; in words where a disk refuses."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lens_engine.errors import NoLocksError
from lens_engine.io.file_claims import claim_in_file
from lens_training.errors import TrainingInterruptedError


@contextmanager
def claimed(path: Path, work: str) -> Iterator[bool]:
    """Yield whether `work` is ours until the block ends, as `claim_in_file`; folders above the file are made.

    Raises
    ------
    TrainingInterruptedError
        If the disk refuses, or locks no files.
    """
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            is_ours = held.enter_context(claim_in_file(path, work))
        except NoLocksError as error:
            raise TrainingInterruptedError(error.happened, error.expected, error.remedy) from error
        except OSError as error:
            raise TrainingInterruptedError(
                f"{path.parent} cannot be written: {error.strerror or error}",
                "A folder with write permission and enough free space is needed",
                "Put that right: what is done stays done",
            ) from error
        yield is_ours
