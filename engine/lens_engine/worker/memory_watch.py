"""What the kernel and the numbers say about memory while a process runs: whether a killed one died of its lack."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

LOOK_SECONDS = 1.0
LOW_SHARE = 0.05
"""Of a computer's memory: where less was left, a killed process is taken to have died of that."""
KERNEL_COUNTERS = Path("/proc/vmstat")
KILLS_COUNTER = "oom_kill"


@dataclass(frozen=True, slots=True)
class MemoryReading:
    """The memory of this computer at one moment.

    Attributes
    ----------
    available, total
        Bytes.
    kernel_kills
        Processes that the kernel has ever killed for lack of memory; None where it does not say.
    """

    available: int
    total: int
    kernel_kills: int | None


@dataclass(frozen=True, slots=True)
class MemoryStory:
    """What was seen of the memory during the life of a process.

    Attributes
    ----------
    kernel_killed
        Whether the kernel has killed some process of this computer for lack of memory.
    least_available, total
        Bytes.
    """

    kernel_killed: bool
    least_available: int
    total: int

    @property
    def ran_out(self) -> bool:
        """Whether the kernel or the numbers say that there was not enough."""
        return self.kernel_killed or self.least_available < LOW_SHARE * self.total


def read_memory() -> MemoryReading:
    """Return how this computer's memory stands now."""
    memory = psutil.virtual_memory()
    return MemoryReading(int(memory.available), int(memory.total), _kernel_kills())


class MemoryWatch:
    """Looks at the memory from its creation on, whenever asked to, at most once a second."""

    def __init__(
        self, read: Callable[[], MemoryReading] = read_memory, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read = read
        self._clock = clock
        self._first = read()
        self._least = self._first.available
        self._looked_at = clock()

    def look(self) -> None:
        """Remember how much memory there is, unless that was done a moment ago."""
        if self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            self._least = min(self._least, self._read().available)

    def story(self) -> MemoryStory:
        """Return what was seen until now."""
        kills = self._read().kernel_kills
        killed = kills is not None and self._first.kernel_kills is not None and kills > self._first.kernel_kills
        return MemoryStory(killed, self._least, self._first.total)


def _kernel_kills() -> int | None:
    try:
        lines = KERNEL_COUNTERS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None  # another system than Linux, or one that hides its counters
    values = (line.split() for line in lines)
    return next((int(words[1]) for words in values if len(words) == 2 and words[0] == KILLS_COUNTER), None)
