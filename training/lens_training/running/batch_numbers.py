"""The order in which a run asks for its batches."""

from collections.abc import Iterator

from torch.utils.data import Sampler


class BatchNumbers(Sampler[int]):
    """Numbers in order. Without a length: it would be that of an epoch to Lightning, which a resumed run has not."""

    def __init__(self, numbers: range) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)
