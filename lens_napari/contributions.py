"""What the plugin gives to napari without a project: a reader for CT series and a sample. No Qt, no torch."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lens_engine.errors import LensError, SeriesError
from lens_engine.io.series import FoundSeries, read_volume, scan, series_uid_of, whole_series
from lens_engine.phantom.patient import PhantomSettings, make_patient
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset
from lens_napari.offers import offer_scans
from lens_napari.viewer.voxel_frame import AXIS_LABELS, UNITS, VOXEL_CENTRE

LayerData = tuple[Any, dict[str, Any], str]
NO_LAYERS: list[Any] = [(None,)]
"""What tells napari that there is nothing to show, and that this is right."""
SERIES_UID = "lens_series_uid"
"""Name in a layer's metadata of the series that it shows."""

SAMPLE_SEED = 3_000
SAMPLE_DATASET = "universal"


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]]:
    """Return the function that reads CT series from files or folders."""
    return read_ct


def read_ct(path: str | Sequence[str]) -> list[LayerData]:
    """Read every CT series at the given paths as an Image layer in HU, in the canonical frame.

    One DICOM slice stands for its whole series. Where a LENS project is reviewed in the window, the scans are offered
    to that project instead of being laid over its patient.

    Raises
    ------
    LensError
        If there is no series that can be read; the first problem is told.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    if offer_scans(paths) or all(_is_open(series_uid_of(one)) for one in paths):
        return NO_LAYERS
    report = scan(whole_series(paths))
    layers = [image_layer(read_volume(series.source), _name(series), _metadata(series)) for series in report.found]
    if not layers:
        raise _refusal(paths, report.problems)
    return layers


def phantom_patient() -> list[LayerData]:
    """Make the first scan of a phantom patient with its lesions."""
    series = make_patient(SAMPLE_SEED, SAMPLE_DATASET, PhantomSettings(studies=1)).series[0]
    rectangles = [
        [[section.slice_index, y, x] for y, x in ((y1, x1), (y1, x2), (y2, x2), (y2, x1))]
        for lesion in series.lesions
        for section in lesion.slices
        for x1, y1, x2, y2 in [tuple(edge - VOXEL_CENTRE for edge in section.box)]
    ]
    spacing = series.volume.geometry.spacing_mm
    lesions: dict[str, Any] = {
        "name": "lesions",
        "shape_type": "rectangle",
        "edge_color": "white",
        "face_color": "transparent",
        "edge_width": 0.7,
        "scale": spacing,
        "units": UNITS,
        "axis_labels": AXIS_LABELS,
    }
    return [image_layer(series.volume, "phantom CT"), (rectangles, lesions, "shapes")]


def image_layer(volume: Volume, name: str, metadata: dict[str, str] | None = None) -> LayerData:
    """Return a volume as a layer in millimetres."""
    return (
        volume.voxels,
        {
            "name": name,
            "scale": volume.geometry.spacing_mm,
            "units": UNITS,
            "axis_labels": AXIS_LABELS,
            "contrast_limits": Preset.SOFT_TISSUE.value.limits,
            "colormap": "gray",
            "metadata": metadata or {},
        },
        "image",
    )


def _is_open(series_uid: str | None) -> bool:
    """Return whether a series is in the window already, and bring it to the front.

    napari asks for each file of its own where all slices of a folder are opened.
    """
    napari = sys.modules.get("napari")  # whoever reads without it has no window
    if napari is None or series_uid is None:
        return False
    viewer: Any = napari.current_viewer()
    for layer in () if viewer is None else viewer.layers:
        if layer.metadata.get(SERIES_UID) == series_uid:
            viewer.layers.selection.active = layer
            return True
    return False


def _name(series: FoundSeries) -> str:
    first = series.source.paths[0]
    return series.given_name or series.description or (first.parent.name if series.source.series_uid else first.stem)


def _metadata(series: FoundSeries) -> dict[str, str]:
    return {} if series.source.series_uid is None else {SERIES_UID: series.source.series_uid}


def _refusal(paths: Sequence[Path], problems: Sequence[LensError]) -> LensError:
    if problems:
        return problems[0]
    return SeriesError(
        f"No CT series was found in {os.path.commonpath(paths)}",
        "DICOM, NIfTI, MetaImage or NRRD files",
        "Choose another folder",
    )
