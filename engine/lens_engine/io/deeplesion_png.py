"""DeepLesion as released: a folder of 16-bit PNG slices for each series, HU = pixel - 32768.

Slice numbers count from the head, from 1. A folder holds the slices around its lesions only; each run of consecutive
numbers is a series of its own here, named `000410_02_02_039-099`. The spacing stands in `DL_info.csv`.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.annotations.deeplesion_csv import FILE_NAME, DeepLesionRow, read_rows
from lens_engine.io.hounsfield import canonical_hounsfield, canonical_slices, to_hounsfield
from lens_engine.io.limits import MAX_REST_BYTES, refuse_huge_scan
from lens_engine.io.series_source import FoundSeries, GivenName, SeriesFormat, SeriesSource, parse_series_name
from lens_engine.volume import Volume

PIXEL_OF_ZERO_HU = 32768
LEVELS_ABOVE = 3
"""DL_info.csv is looked for in the series folder and this many folders above it."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_TO_LEFT_BACK_FEET = np.diag([1.0, 1.0, -1.0])


def is_deeplesion_png(path: Path) -> bool:
    """Return whether a path has the form `000001_01_01/109.png`."""
    given = parse_series_name(path.parent.name)
    is_slice = path.suffix.lower() == ".png" and path.stem.isdecimal()
    return is_slice and given is not None and given.first_slice is None


def sub_volumes(folder: Path, paths: Sequence[Path]) -> tuple[tuple[GivenName, tuple[Path, ...]], ...]:
    """Split the slices of one folder into runs of consecutive numbers, each with its name."""
    runs: list[list[Path]] = []
    for path in sorted(paths, key=_slice_number):
        if not runs or _slice_number(path) != _slice_number(runs[-1][-1]) + 1:
            runs.append([])
        runs[-1].append(path)
    named = []
    for run in runs:
        name = f"{folder.name}_{_slice_number(run[0]):03d}-{_slice_number(run[-1]):03d}"
        given = parse_series_name(name)
        if given is None:
            raise SeriesError(
                f"{folder.name} is not the name of a DeepLesion series",
                "A name like 000001_01_01 is needed",
                "Rename it",
            )
        named.append((given, tuple(run)))
    return tuple(named)


def describe_sub_volume(given: GivenName, paths: tuple[Path, ...]) -> FoundSeries:
    """Return the series that one run of slices forms, without reading its pixels except for the middle slice.

    Raises
    ------
    SeriesError, GeometryError
        If a PNG is damaged or of another kind, or the spacing is not known.
    """
    geometry = _geometry(given, paths)
    _refuse_other_sizes(paths, geometry)
    return FoundSeries(
        source=SeriesSource(SeriesFormat.DEEPLESION_PNG, paths),
        patient_key=given.patient_key,
        study_key=given.study_key,
        series_key=f"deeplesion:{given.name}",
        study_date=None,
        description=given.series_name,
        geometry=geometry,
        given_name=given.name,
        notes=to_hounsfield(_hounsfield(paths[len(paths) // 2]))[1],
    )


def read_png_volume(source: SeriesSource) -> tuple[Volume, tuple[str, ...]]:
    """Read a sub-volume as canonical int16 HU, with notes.

    Raises
    ------
    SeriesError, GeometryError
        As `describe_sub_volume`.
    """
    ((given, paths),) = sub_volumes(source.paths[0].parent, source.paths)
    return read_slices(paths, _geometry(given, paths))


def slice_geometry(
    size: tuple[int, int], count: int, spacing_xyz_mm: tuple[float, float, float], first_slice_number: int
) -> VolumeGeometry:
    """Return the geometry of `count` slices of `size` (rows, columns).

    Raises
    ------
    GeometryError
        If the spacing is not three positive numbers.
    """
    return VolumeGeometry.from_source(
        array_shape=(count, *size),
        spacing_xyz_mm=spacing_xyz_mm,
        origin_xyz_mm=(0.0, 0.0, 0.0),
        direction_matrix=_TO_LEFT_BACK_FEET,
        first_slice_number=first_slice_number,
    )


def png_size(path: Path) -> tuple[int, int]:
    """Return rows and columns of a 16-bit grey PNG from its header, and see that the file is complete.

    Raises
    ------
    SeriesError
        If it is missing, truncated, of another kind, or larger than a scan may be.
    """
    try:
        with path.open("rb") as file:
            head = file.read(26)
            file.seek(-min(len(head), len(_PNG_END)), 2)
            end = file.read()
    except OSError as error:
        raise SeriesError(
            f"{path} cannot be read: {error.strerror}", "A readable file is needed", "Check the rights"
        ) from error
    if len(head) < 26 or not head.startswith(_PNG_SIGNATURE) or end != _PNG_END:
        raise SeriesError(
            f"{path.name} in {path.parent.name} is truncated or not a PNG", "A complete file is needed", "Copy it again"
        )
    columns, rows, bits, colour = struct.unpack(">LLBB", head[16:26])
    refuse_huge_scan(f"{path.name} in {path.parent.name}", (rows, columns))
    if (bits, colour) != (16, 0):
        raise SeriesError(
            f"{path.name} in {path.parent.name} has {bits} bits and colour type {colour}",
            "DeepLesion slices are 16-bit grey PNG files",
            "Use Images_png as released, not pictures exported from it",
        )
    return rows, columns


def read_slices(paths: Sequence[Path], geometry: VolumeGeometry) -> tuple[Volume, tuple[str, ...]]:
    """Read consecutive slices as canonical int16 HU, with notes.

    Raises
    ------
    SeriesError
        If a PNG is missing, damaged, of another kind, or of another size than `geometry` says.
    """
    _refuse_other_sizes(paths, geometry)
    voxels, notes = canonical_hounsfield(_planes(paths), geometry)
    return Volume(voxels, geometry), notes


def read_png_slices(paths: Sequence[Path], geometry: VolumeGeometry) -> NDArray[np.int16]:
    """Read some slices of a sub-volume whose whole geometry is given, ascending, as `read_slices` reads all of them.

    Raises
    ------
    SeriesError
        As `read_slices`.
    """
    _refuse_other_sizes(paths, geometry)
    return canonical_slices(map(_hounsfield, paths), geometry, len(paths))


def _slice_number(path: Path) -> int:
    return int(path.stem)


def _geometry(given: GivenName, paths: Sequence[Path]) -> VolumeGeometry:
    size = png_size(paths[0])
    refuse_huge_scan(given.name, (len(paths), *size))
    row = _row_of(given, paths[0].parent)
    return slice_geometry(size, len(paths), row.spacing_mm, _slice_number(paths[0]))


def _refuse_other_sizes(paths: Sequence[Path], geometry: VolumeGeometry) -> None:
    size = geometry.shape[1:]
    for path in paths:
        if png_size(path) != size:
            raise SeriesError(
                f"The slices of {path.parent.name} have different sizes (rows, columns):"
                f" {path.name} is {png_size(path)}, {size} is needed",
                "One size for all slices is needed",
                "Extract the archive again",
            )


def _row_of(given: GivenName, folder: Path) -> DeepLesionRow:
    """Return a row of DL_info.csv about the series: all have the same spacing."""
    places = [folder, *list(folder.parents)[:LEVELS_ABOVE]]
    table = next((place / FILE_NAME for place in places if (place / FILE_NAME).is_file()), None)
    if table is None:
        raise SeriesError(
            f"The spacing of {given.series_name} is not known: there is no {FILE_NAME} beside or above its folder",
            "PNG files hold no spacing, so the table that comes with DeepLesion is needed",
            f"Copy {FILE_NAME} into the folder of the series or up to {LEVELS_ABOVE} folders above it",
        )
    row = next((row for row in read_rows(table) if row.series_name == given.series_name), None)
    if row is None:
        raise SeriesError(
            f"{table} has no row for {given.series_name}",
            "The spacing of the series is needed",
            "Use the complete table",
        )
    return row


def _planes(paths: Sequence[Path]) -> Iterator[NDArray[np.int16]]:
    """Yield the slices in HU, decoded in several threads: Pillow leaves the others free to run meanwhile."""
    with ThreadPoolExecutor() as pool:
        yield from pool.map(_hounsfield, paths)


def _hounsfield(path: Path) -> NDArray[np.int16]:
    rows, columns = png_size(path)
    try:
        with path.open("rb") as file:  # packed or not, pixels of two bytes take no more
            content = io.BytesIO(file.read(2 * rows * columns + MAX_REST_BYTES))
        Image.open(content).verify()  # checksums, which decoding does not compare
        content.seek(0)
        with Image.open(content) as image:
            pixels = np.asarray(image, dtype=np.uint16)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow calls a broken chunk a SyntaxError
        raise SeriesError(
            f"{path.name} in {path.parent.name} cannot be decoded",
            "A complete 16-bit PNG is needed",
            "Copy it again",
        ) from error
    return (pixels - np.uint16(PIXEL_OF_ZERO_HU)).view(np.int16)  # modulo 2**16: exactly the range of int16
