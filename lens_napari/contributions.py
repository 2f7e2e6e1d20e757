"""What the plugin gives to napari without a project: a reader for CT series and a sample. No Qt, no torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lens_engine.errors import LensError, SeriesError
from lens_engine.io.series import read_volume, scan
from lens_engine.phantom.patient import PhantomSettings, make_patient
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset
from lens_napari.viewer.voxel_frame import AXIS_LABELS, UNITS, VOXEL_CENTRE

LayerData = tuple[Any, dict[str, Any], str]

SAMPLE_SEED = 3_000
SAMPLE_DATASET = "universal"


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]]:
    """Return the function that reads CT series from files or folders."""
    return read_ct


def read_ct(path: str | Sequence[str]) -> list[LayerData]:
    """Read every CT series below the given paths as an Image layer in HU, in the canonical frame.

    Raises
    ------
    LensError
        If there is no series that can be read; the first problem is told.
    """
    paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
    report = scan(paths)
    problems: list[LensError] = list(report.problems)
    layers = [
        image_layer(read_volume(series.source), series.given_name or series.description or series.source.paths[0].stem)
        for series in report.found
    ]
    if not layers:
        raise (
            problems[0]
            if problems
            else SeriesError(
                f"No CT series was found in {paths[0].name}",
                "DICOM, NIfTI, MetaImage or NRRD files",
                "Choose another folder",
            )
        )
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


def image_layer(volume: Volume, name: str) -> LayerData:
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
        },
        "image",
    )
