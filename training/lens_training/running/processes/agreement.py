"""What the processes of a run tell each other: whether one of them has failed, was asked to stop, or is done.

Without it the others would wait for a process that has left, in the middle of exchanging gradients.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed

from lens_engine.errors import LensError
from lens_training.errors import EndedElsewhereError, TrainingError, TrainingInterruptedError

_SIGNS_OF_LOSS = "gloo", "NCCL", "Connection closed by peer", "Connection reset by peer"

ResultT = TypeVar("ResultT")


class Agreement:
    """A way to one decision for all processes; with one process its own.

    Messages take the CPU's way even where gradients go from GPU to GPU, so that no GPU has to wait for them.
    """

    def __init__(self) -> None:
        self._group: distributed.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all."""
        return self._group is None or distributed.get_rank() == 0

    def open(self) -> None:
        """Connect the processes, in all of them; nothing happens where there is only one."""
        if distributed.is_available() and distributed.is_initialized():
            self._group = distributed.new_group(backend="gloo")

    def any_of(self, wish: bool) -> bool:
        """Return whether it is the wish of any process."""
        return self._highest(int(wish)) > 0

    def raise_first(self, failure: LensError | None) -> None:
        """End all processes if one of them has failed.

        Raises
        ------
        LensError
            The failure of the first process that has one; `EndedElsewhereError` in all processes that need not say so.
        """
        if self._group is None:
            if failure is not None:
                raise failure
        elif self._highest(int(failure is not None)):
            failures: list[LensError | None] = [None] * distributed.get_world_size(self._group)
            with _losses_in_words():
                distributed.all_gather_object(failures, failure, group=self._group)
            if not self.is_first:
                raise EndedElsewhereError("The run has ended", "", "See what its first process says")
            raise next(found for found in failures if found is not None)

    def together(self, work: Callable[[], ResultT]) -> ResultT:
        """Do some work in every process, and wait until all of them are done.

        Raises
        ------
        LensError
            As `raise_first`, if the work of one of them fails.
        """
        try:
            result = work()
        except LensError as error:
            self.raise_first(error)
            raise  # never reached
        self.raise_first(None)
        return result

    def by_first(self, work: Callable[[], object]) -> None:
        """Have the first process do some work while the others wait for its end; raises as `together`."""
        self.together(work if self.is_first else _nothing)

    def require_same(self, value: str | int, name: str) -> None:
        """Raise in all processes if they do not have the same value.

        Raises
        ------
        TrainingError
            In the first process; `EndedElsewhereError` in the others.
        """
        if self._group is None:
            return
        values: list[object] = [None] * distributed.get_world_size(self._group)
        with _losses_in_words():
            distributed.all_gather_object(values, value, group=self._group)
        failure = None
        if len(set(values)) > 1:
            failure = TrainingError(
                f"The processes of this run do not agree on the {name}: {', '.join(str(found) for found in values)}",
                "All of them must see the same files and the same versions",
                "Put the output folder where every node sees it, and start all processes with the same options",
            )
        self.raise_first(failure)

    def _highest(self, value: int) -> int:
        if self._group is None:
            return value
        values = torch.tensor(value)
        with _losses_in_words():
            distributed.all_reduce(values, distributed.ReduceOp.MAX, group=self._group)
        return int(values)


def lost_connection(error: RuntimeError) -> TrainingInterruptedError | None:
    """Return what an error of torch means if another process is gone; None if it means something else."""
    if not any(sign in str(error) for sign in _SIGNS_OF_LOSS):
        return None
    return TrainingInterruptedError(
        "The connection to another process of the run was lost",
        "All processes must run to the end",
        "Look for what ended the other process",
    )


@contextmanager
def _losses_in_words() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        lost = lost_connection(error)
        if lost is None:
            raise
        raise lost from error


def _nothing() -> None:
    """Do nothing."""
