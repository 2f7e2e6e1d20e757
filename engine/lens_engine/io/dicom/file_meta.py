"""The first elements of a DICOM file: whether all behind them is packed, and how far that may be unpacked.

pydicom and GDCM unpack such a file (Deflated Explicit VR Little Endian, DICOM PS3.5 A.5) as a whole, whatever comes
out of it; so that is tried here first, and given up where it goes on for long.
"""

import struct
import zlib
from typing import BinaryIO

from pydicom.uid import DeflatedExplicitVRLittleEndian

from lens_engine.errors import SeriesError
from lens_engine.io.limits import MAX_UNPACKED_DICOM_BYTES

_PREAMBLE_BYTES = 132
_META_GROUP = 0x0002
_TRANSFER_SYNTAX = 0x0010
_LONG_REPRESENTATIONS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_MAX_VALUE_BYTES = 64
_CHUNK_BYTES = 1 << 16
_RAW_DEFLATE = -zlib.MAX_WBITS


def is_dicom(file: BinaryIO) -> bool:
    """Return whether a file has the preamble of DICOM; it is at its start afterwards."""
    file.seek(0)
    preamble = file.read(_PREAMBLE_BYTES)
    file.seek(0)
    return preamble[128:] == b"DICM"


def refuse_unpacking_too_far(file: BinaryIO, name: str) -> None:
    """Refuse a file that is packed as a whole and unpacks to more than any image; it is at its start afterwards.

    Raises
    ------
    SeriesError
        If it does.
    """
    if _transfer_syntax(file) == DeflatedExplicitVRLittleEndian.encode():
        unpacking, unpacked = zlib.decompressobj(_RAW_DEFLATE), 0
        while not unpacking.eof and (packed := file.read(_CHUNK_BYTES)):
            while packed and unpacked <= MAX_UNPACKED_DICOM_BYTES:
                unpacked += len(unpacking.decompress(packed, _CHUNK_BYTES * 16))
                packed = unpacking.unconsumed_tail
        if unpacked > MAX_UNPACKED_DICOM_BYTES:
            raise SeriesError(
                f"{name} is packed and unpacks to more than {MAX_UNPACKED_DICOM_BYTES >> 20} MiB",
                "A packed DICOM file holds one slice, which is much smaller",
                "Export the series again, uncompressed",
            )
    file.seek(0)


def _transfer_syntax(file: BinaryIO) -> bytes:
    """Return how the data set is encoded, empty if that is not said; the file is at the start of the data set."""
    syntax = b""
    position = _PREAMBLE_BYTES
    while True:
        file.seek(position)
        head = file.read(12)
        if len(head) < 8 or struct.unpack_from("<H", head)[0] != _META_GROUP:
            file.seek(position)
            return syntax
        representation = head[4:6]
        if representation in _LONG_REPRESENTATIONS and len(head) == 12:
            start, length = position + 12, struct.unpack_from("<L", head, 8)[0]
        elif representation.isalpha() and representation.isupper():
            start, length = position + 8, struct.unpack_from("<H", head, 6)[0]
        else:
            start, length = position + 8, struct.unpack_from("<L", head, 4)[0]
        if struct.unpack_from("<H", head, 2)[0] == _TRANSFER_SYNTAX:
            file.seek(start)
            syntax = file.read(min(length, _MAX_VALUE_BYTES)).rstrip(b"\0 ")
        position = start + length
