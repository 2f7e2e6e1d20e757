"""Read uncompressed DICOM slices from where their headers say the pixels lie; all others need a decoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lens_engine.io.dicom.values import HeaderValues

PIXEL_TAGS = ["PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
"""The elements that `plain_pixels` looks at beside those of size and rescaling."""

_BITS = 16
_INT16, _INT32 = np.iinfo(np.int16), np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class PlainPixels:
    """Where the 16-bit pixels of one slice lie in its file, and what they mean.

    Attributes
    ----------
    offset_bytes
        Where the first pixel lies, counted from the start of the file.
    is_signed
        Whether pixels are stored as two's complements.
    bits_stored
        Bits of a pixel, from the lowest; what lies above is no part of it (overlays of old scanners).
    slope, intercept
        HU = slope * pixel + intercept.
    """

    offset_bytes: int
    is_signed: bool
    bits_stored: int
    slope: float
    intercept: float


def plain_pixels(dataset: HeaderValues, offset_bytes: int) -> PlainPixels | None:
    """Return how to read the one frame that begins at `offset_bytes`, or None if that takes a decoder."""
    bits_stored = dataset.get("BitsStored")
    slope, intercept = dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)
    is_plain = (
        dataset.file_meta.TransferSyntaxUID in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        and dataset.get("BitsAllocated") == _BITS
        and bits_stored in range(1, _BITS + 1)
        and dataset.get("HighBit") == bits_stored - 1
        and dataset.get("PixelRepresentation") in (0, 1)
        and dataset.get("PhotometricInterpretation") == "MONOCHROME2"
    )
    if not is_plain or not slope or intercept is None:
        return None
    return PlainPixels(offset_bytes, dataset.PixelRepresentation == 1, int(bits_stored), float(slope), float(intercept))


def read_plain_pixels(path: Path, pixels: PlainPixels, size: tuple[int, int]) -> NDArray[Any]:
    """Return the rescaled values of a slice of `size` (rows, columns); float64 unless all are whole numbers.

    Raises
    ------
    OSError, ValueError
        If the file has become shorter or is gone.
    """
    rows, columns = size
    number_type = "<i2" if pixels.is_signed else "<u2"
    stored = np.fromfile(path, number_type, rows * columns, offset=pixels.offset_bytes).reshape(size)
    if pixels.bits_stored < _BITS:
        stored = _without_unused_bits(stored, pixels)
    if pixels.slope == 1 and pixels.intercept.is_integer() and abs(pixels.intercept) < _INT32.max - 2**_BITS:
        return _shifted(stored, int(pixels.intercept))
    rescaled: NDArray[np.float64] = stored * np.float64(pixels.slope) + np.float64(pixels.intercept)
    return rescaled


def _without_unused_bits(stored: NDArray[Any], pixels: PlainPixels) -> NDArray[Any]:
    if not pixels.is_signed:
        return stored & np.uint16(2**pixels.bits_stored - 1)
    unused = _BITS - pixels.bits_stored
    return (stored << unused) >> unused


def _shifted(stored: NDArray[Any], by: int) -> NDArray[Any]:
    """Return `stored + by`, as int16 where that holds every value."""
    lowest, highest = int(stored.min()) + by, int(stored.max()) + by
    if _INT16.min <= min(lowest, by) and max(highest, by) <= _INT16.max:
        shifted: NDArray[Any] = stored.view("<i2") + np.int16(by)  # modulo 2**16, so unsigned values come out right too
        return shifted
    wider: NDArray[np.int32] = np.add(stored, by, dtype=np.int32)
    return wider
