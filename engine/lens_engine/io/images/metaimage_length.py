"""Tell a MetaImage whose voxels are missing or cut off from a complete one, without reading them."""

from pathlib import Path

_HEADER_BYTES = 1 << 16
_LAST_KEY = "ElementDataFile"
_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "LONG_LONG": 8, "DOUBLE": 8}
_TYPE_PREFIX = "MET_"


def is_complete_metaimage(path: Path) -> bool:
    """Return whether a MetaImage file, or the one it names, holds as many bytes as its header announces.

    Where that cannot be told (compressed voxels, a list of files), it is enough that the named file is there.
    """
    with path.open("rb") as file:
        content = file.read(_HEADER_BYTES)
    header: dict[str, str] = {}
    end = 0
    for line in content.splitlines(keepends=True):
        end += len(line)
        key, _, value = line.decode("latin-1").partition("=")
        header[key.strip()] = value.strip()
        if key.strip() == _LAST_KEY:
            break
    place = header.get(_LAST_KEY, "")
    if place.startswith("LIST") or "%" in place:
        return True
    data = path if place.upper() == "LOCAL" else path.parent / place
    if not place or not data.is_file():
        return False
    start = end if data == path else 0
    return data.stat().st_size >= start + _announced_bytes(header)


def _announced_bytes(header: dict[str, str]) -> int:
    """Return the bytes of the voxels; 1 where the header does not say it plainly."""
    size = _BYTES.get(header.get("ElementType", "").removeprefix(_TYPE_PREFIX))
    counts = header.get("DimSize", "").split()
    if size is None or header.get("CompressedData", "False").lower() == "true":
        return 1
    for count in counts:
        if not count.isdecimal():
            return 1
        size *= int(count)
    return size
