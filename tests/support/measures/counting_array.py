"""Arrays that count how many of their elements are read or computed with: work, measured without a clock."""

from typing import Any, Self

import numpy as np


class Counter:
    """How many elements were touched."""

    def __init__(self) -> None:
        self.elements = 0


class CountingArray(np.ndarray):
    """An array that adds every element that an index or an elementwise function reads to a counter."""

    counter: Counter

    def __array_finalize__(self, source: object) -> None:
        self.counter = getattr(source, "counter", None) or Counter()

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.counter.elements += np.size(found)
        return found

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        self.counter.elements += sum(np.size(value) for value in inputs)
        plain = [value.view(np.ndarray) if isinstance(value, CountingArray) else value for value in inputs]
        options = {
            name: tuple(item.view(np.ndarray) if isinstance(item, CountingArray) else item for item in value)
            if isinstance(value, tuple)
            else value
            for name, value in options.items()
        }
        result = getattr(ufunc, method)(*plain, **options)
        return self._with_counter(result) if isinstance(result, np.ndarray) else result

    def _with_counter(self, values: np.ndarray) -> Self:
        array = values.view(type(self))
        array.counter = self.counter
        return array


def counted(*arrays: np.ndarray) -> tuple[list[CountingArray], Counter]:
    """Return the arrays with one counter for all of them."""
    counter = Counter()
    result = []
    for values in arrays:
        array = values.view(CountingArray)
        array.counter = counter
        result.append(array)
    return result, counter
