"""What the header of an image file says, in the terms that all formats share."""

import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from lens_engine.errors import SeriesError
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.images.stored_voxels import StoredVoxels
from lens_engine.io.limits import refuse_huge_scan

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels of an image lie in the patient, LPS millimetres.

    Attributes
    ----------
    spacing_mm
        Distance of the voxels along the axes i, j and k of the file.
    directions
        Unit vectors in which i, j and k grow.
    """

    spacing_mm: Vector
    origin_mm: Vector
    directions: tuple[Vector, Vector, Vector]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The voxels of an image, and where they lie."""

    voxels: StoredVoxels
    grid: Grid

    @property
    def geometry(self) -> VolumeGeometry:
        """Return the geometry of the canonical form.

        Raises
        ------
        GeometryError
            If it is none of an upright volume.
        """
        columns, rows, slices = self.voxels.counts
        return VolumeGeometry.from_source(
            array_shape=(slices, rows, columns),
            spacing_xyz_mm=self.grid.spacing_mm,
            origin_xyz_mm=self.grid.origin_mm,
            direction_matrix=np.asarray(self.grid.directions).T,
        )


def three_counts(path: Path, counts: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the counts of a 3D volume, fastest first; further axes may have one voxel each.

    Raises
    ------
    SeriesError
        If there are fewer or more dimensions, or more voxels than a scan may have.
    """
    shown = " x ".join(str(count) for count in counts)
    if len(counts) < 3:
        raise SeriesError(
            f"{path.name} is a single image: it has {len(counts)} dimensions of {shown} voxels",
            "A 3D volume is needed",
            "Choose the file of the whole scan, or join its slices into one volume",
        )
    if min(counts) < 1:
        raise SeriesError(
            f"{path.name} announces {shown} voxels", "At least one voxel along each axis is needed", "Copy it again"
        )
    if max(counts[3:], default=1) > 1:
        raise SeriesError(
            f"{path.name} has {len(counts)} dimensions of {shown} voxels",
            "A 3D volume is needed",
            "Split a 4D series into one file for each time or phase",
        )
    refuse_huge_scan(path.name, counts[:3])
    return counts[0], counts[1], counts[2]


def refuse_wrong_spacing(path: Path, spacing_mm: tuple[float, ...]) -> None:
    """Refuse spacings that are no distances: with them nobody knows how large a lesion is.

    Raises
    ------
    SeriesError
        If one of them is zero, negative or no number.
    """
    if not all(math.isfinite(value) and value > 0 for value in spacing_mm):
        raise SeriesError(
            f"The header of {path.name} gives a voxel spacing of {', '.join(f'{value:g}' for value in spacing_mm)} mm",
            "Three positive numbers are needed",
            "Correct the header, or convert the scan again from its source",
        )


def refuse_vectors(path: Path, values_per_voxel: int) -> None:
    """Refuse colours and other vectors.

    Raises
    ------
    SeriesError
        If a voxel has several values.
    """
    if values_per_voxel != 1:
        raise SeriesError(
            f"{path.name} has {values_per_voxel} values per voxel (RGB or a vector image)",
            "A CT has one value per voxel, its HU",
            "Choose the scan itself instead of a colour overlay",
        )


def file_beside(path: Path, named: str) -> Path:
    """Return the file that a header names for its voxels: one in the header's own folder, or below it.

    Raises
    ------
    SeriesError
        If the name leads elsewhere, or is a list or a pattern of several files.
    """
    parts = (*PurePosixPath(named).parts, *PureWindowsPath(named).parts)
    is_absolute = PurePosixPath(named).is_absolute() or bool(PureWindowsPath(named).anchor)
    if is_absolute or ".." in parts or "\0" in named:
        raise SeriesError(
            f"The header {path.name} names a file outside its folder for its voxels",
            "A header may name a file in its own folder only; nothing was read",
            "Put the file with the voxels beside the header and correct its name there",
        )
    if named.upper().startswith("LIST") or "%" in named:
        raise SeriesError(
            f"The header {path.name} names a list of files for its voxels",
            "All voxels in one file are needed",
            "Convert the scan into one file, NIfTI for example",
        )
    return path.parent / named
