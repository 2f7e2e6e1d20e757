"""Looks at lesions of phantom patients, and at places that are none, in all their studies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.findings import Box2D, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.lesions import LesionType
from lens_engine.phantom.patient import (
    TRAIN_SEEDS,
    UNIVERSAL,
    PhantomLesion,
    PhantomPatient,
    PhantomSeries,
    PhantomSettings,
    Scan,
    draw_body,
    draw_scans,
    make_patient,
)
from lens_engine.volume import Volume
from lens_training.datasets.labels import TIGHT_BOX_MARGIN_VOXELS
from lens_training.lesion_embedding.looks import Location, Look, ScanLooks
from lens_training.recipes.lesion_embedding import EmbeddingPhantoms

TYPES = tuple(kind.value for kind in LesionType)
MIDDLE_SHARE = 0.6
"""Looks are taken from this share of a lesion's slices, around the middle: key slices and centre slices lie there."""
SMALLEST_MM, LARGEST_MM = 16.0, 44.0
"""Sides of the boxes around places that are no lesion, with the margin that boxes of lesions have."""
TISSUE_ABOVE_HU = -900
"""Where a place that is no lesion may lie."""
TRIES = 200

_PLACES_STREAM = 11
_BODY_MM = np.array([440.0, 300.0, 500.0])
"""Size of the scanned part of a body along x, y and z, which normalises places."""


def training_looks(recipe: EmbeddingPhantoms) -> Iterator[ScanLooks]:
    """Make the scans of the training patients with the looks at their lesions and at other places, one at a time."""
    for number in range(recipe.patients):
        settings = PhantomSettings(
            slice_spacing_mm=recipe.slice_spacings_mm[number % len(recipe.slice_spacings_mm)], studies=recipe.studies
        )
        seed = TRAIN_SEEDS[number]
        patient = make_patient(seed, UNIVERSAL, settings)
        scans = draw_scans(draw_body(seed, UNIVERSAL, settings), seed, UNIVERSAL, settings)
        places = _draw_places(patient, scans[0], recipe.places)
        for series, scan in zip(patient.series, scans, strict=True):
            yield _looks_of(patient, series, scan, places)


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A place that is no lesion: its centre in the patient lying straight, in LPS mm, and the sides of its box."""

    centre_mm: NDArray[np.float64]
    sides_mm: NDArray[np.float64]


def _looks_of(patient: PhantomPatient, series: PhantomSeries, scan: Scan, places: Sequence[_Place]) -> ScanLooks:
    seen: list[tuple[str, tuple[int, ...], int, Box2D]] = [
        (f"{patient.seed} {lesion.key}", (TYPES.index(lesion.lesion_type),), section.slice_index, _padded(section.box))
        for lesion in series.lesions
        for section in _middle(lesion)
    ]
    for number, place in enumerate(places):
        slice_index, box = _seen_in(place, series, scan)
        if 0 <= slice_index < series.volume.geometry.shape[0]:
            seen.append((f"{patient.seed} place {number}", (), slice_index, box))
    looks = tuple(
        Look(
            slice_index=slice_index,
            box=box,
            scan=f"{patient.seed}-{series.study_number}-{series.series_number}",
            lesion=lesion,
            terms=terms,
            location=_location(series.volume.geometry, scan, slice_index, box),
        )
        for lesion, terms, slice_index, box in seen
    )
    return ScanLooks(looks, partial(_same, series.volume))


def _middle(lesion: PhantomLesion) -> tuple[SliceBox, ...]:
    count = len(lesion.slices)
    dropped = int(count * (1 - MIDDLE_SHARE) / 2)
    return lesion.slices[dropped : count - dropped]


def _padded(box: Box2D) -> Box2D:
    x1, y1, x2, y2 = box
    margin = TIGHT_BOX_MARGIN_VOXELS
    return x1 - margin, y1 - margin, x2 + margin, y2 + margin


def _draw_places(patient: PhantomPatient, scan: Scan, count: int) -> list[_Place]:
    """Draw places in the first study, away from its lesions."""
    series = patient.series[0]
    geometry, generator = series.volume.geometry, np.random.default_rng([patient.seed, _PLACES_STREAM])
    lesions = np.asarray([lesion.box for lesion in series.lesions]).reshape(-1, 6)
    found: list[_Place] = []
    for _ in range(TRIES):
        if len(found) == count:
            break
        index = generator.integers(0, geometry.shape)
        place = _Place(
            _at_rest(geometry, scan, index),
            np.exp(generator.uniform(np.log(SMALLEST_MM), np.log(LARGEST_MM), 2)),
        )
        x1, y1, x2, y2 = _seen_in(place, series, scan)[1]
        low, high = np.array([x1, y1, index[0] - 2]), np.array([x2, y2, index[0] + 3])
        is_apart = ((high < lesions[:, :3]) | (low > lesions[:, 3:])).any(axis=1).all()
        if is_apart and series.volume.voxels[tuple(index)] > TISSUE_ABOVE_HU:
            found.append(place)
    return found


def _seen_in(place: _Place, series: PhantomSeries, scan: Scan) -> tuple[int, Box2D]:
    """Return the slice and the box of a place in a series; the slice may lie beyond it."""
    geometry = series.volume.geometry
    z, y, x = geometry.mm_to_index(place.centre_mm + _shift(scan)) + 0.5
    width, height = place.sides_mm / geometry.spacing_mm[:0:-1]
    box = (float(x - width / 2), float(y - height / 2), float(x + width / 2), float(y + height / 2))
    return int(np.floor(z)), box


def _location(geometry: VolumeGeometry, scan: Scan, slice_index: int, box: Box2D) -> Location:
    x1, y1, x2, y2 = box
    index = np.array([slice_index, (y1 + y2) / 2 - 0.5, (x1 + x2) / 2 - 0.5])
    x, y, z = (_at_rest(geometry, scan, index) / _BODY_MM).tolist()
    return x, y, z


def _at_rest(geometry: VolumeGeometry, scan: Scan, index: NDArray[Any]) -> NDArray[np.float64]:
    """Return where an index (z, y, x) lies in the patient, LPS mm, as if the patient always lay straight."""
    return geometry.index_to_mm(np.asarray(index, dtype=np.float64)) - _shift(scan)


def _shift(scan: Scan) -> NDArray[np.float64]:
    """Return how a patient lies; along z only the begin of the scan moves, which the geometry knows."""
    dx, dy, _ = scan.shift_mm
    return np.array([dx, dy, 0.0])


def _same(volume: Volume) -> Volume:
    return volume
