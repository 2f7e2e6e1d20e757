"""The values of a DICOM header, converted once where the slices of a series all say the same."""

import struct
import zlib
from functools import cached_property, lru_cache
from typing import Any

from pydicom.dataelem import RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import BaseTag, Tag

BROKEN_DICOM = (
    InvalidDicomError, BytesLengthException, EOFError, AttributeError, LookupError, TypeError, ValueError,
    OverflowError, NotImplementedError, RecursionError, struct.error, zlib.error,
)  # fmt: skip
"""What pydicom raises where a file is damaged."""

_OF_EACH_SLICE = frozenset({"ImagePositionPatient"})
_IN_A_CHARACTER_SET = frozenset({"PatientID", "SeriesDescription"})
_SEQUENCES = frozenset({"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"})
_NOT_SHARED = _OF_EACH_SLICE | _IN_A_CHARACTER_SET | _SEQUENCES
_CACHED_VALUES = 1024


class HeaderValues:
    """Gives the values of a data set by their keywords as pydicom does; they are shared, so nobody may change them."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    @cached_property
    def file_meta(self) -> "HeaderValues":
        """Return the values in front of the data set."""
        return HeaderValues(self._dataset.file_meta)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return a value, or the default where there is no such element."""
        if keyword in _NOT_SHARED:
            return self._dataset.get(keyword, default)
        element: Any = self._dataset.get_item(_tag(keyword))
        if element is None:
            return default
        return _converted(element._replace(value_tell=0)) if isinstance(element, RawDataElement) else element.value

    def __contains__(self, keyword: str) -> bool:
        return _tag(keyword) in self._dataset

    def __getattr__(self, keyword: str) -> Any:
        if keyword not in self:
            raise AttributeError(f"The header has no {keyword}", name=keyword)
        return self.get(keyword)


@lru_cache(maxsize=_CACHED_VALUES)
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


@lru_cache(maxsize=_CACHED_VALUES)
def _converted(element: RawDataElement) -> Any:
    """Return the value of an element, which is compared without its place in the file."""
    return convert_raw_data_element(element).value
