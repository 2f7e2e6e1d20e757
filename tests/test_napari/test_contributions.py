import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest
from support.projects.review_project import ReviewProject

from lens_engine.errors import LensError
from lens_engine.io.series import series_uid_of
from lens_engine.phantom.patient import PhantomSettings, make_patient
from lens_engine.phantom.write_dicom import write_dicom_series
from lens_napari.contributions import SERIES_UID, get_reader, phantom_patient

FORBIDDEN = (
    "torch",
    "lightning",
    "safetensors",
    "lens_engine.detector",
    "lens_engine.mining",
    "lens_engine.worker",
    "lens_engine.tasks",
)
SLOW_TO_IMPORT = {
    "qtpy",
    "napari",
    "vispy",
    "magicgui",
    "torch",
    "pandas",
    "sqlalchemy",
    "dbos",
    "matplotlib",
    "pyarrow",
    "highdicom",
}


def in_fresh_process(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=os.environ.copy()
    )
    return done.stdout.strip()


def test_the_manifest_is_found_and_valid() -> None:
    manifest = PluginManifest.from_distribution("lens-napari")
    manifest.validate_imports()
    assert manifest.contributions.readers
    assert manifest.contributions.sample_data
    assert manifest.contributions.widgets


def test_the_manifest_at_the_root_is_the_one_in_the_package() -> None:
    root = Path(__file__).resolve().parents[2]
    assert (root / "napari.yaml").read_text() == (root / "lens_napari" / "napari.yaml").read_text()


def test_contributions_import_little_so_that_napari_starts_fast() -> None:
    code = "import lens_napari.contributions, sys; print(*{name.split('.')[0] for name in sys.modules})"
    assert not SLOW_TO_IMPORT & set(in_fresh_process(code).split())


def test_pandas_is_not_imported_before_a_table_is_read() -> None:
    code = "import sys; import lens_napari.application, lens_napari.contributions; print('pandas' in sys.modules)"
    assert in_fresh_process(code) == "False"


def test_the_whole_viewer_never_imports_torch() -> None:
    code = (
        "import sys; import lens_napari.application, lens_napari.commands, lens_napari.open_project; "
        f"print([name for name in sys.modules if name.startswith({FORBIDDEN!r})])"
    )
    assert in_fresh_process(code) == "[]"


def test_the_sample_is_a_ct_in_millimetres_with_lesions() -> None:
    (voxels, options, kind), (rectangles, boxes, shapes) = phantom_patient()
    assert (kind, shapes) == ("image", "shapes")
    assert voxels.dtype == np.int16
    assert options["scale"] == boxes["scale"]
    assert options["units"] == ("mm", "mm", "mm")
    assert len(rectangles) > 0


def test_a_nifti_file_is_read_in_the_canonical_frame(review_template: ReviewProject) -> None:
    record = review_template.series[0]
    assert record.source is not None
    assert record.geometry is not None
    path = str(record.source.paths[0])
    ((voxels, options, _),) = get_reader(path)(path)
    assert voxels.shape == record.geometry.shape
    assert options["scale"] == pytest.approx(record.geometry.spacing_mm)


def test_a_folder_without_ct_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no scan here")
    with pytest.raises(LensError, match="CT"):
        get_reader(str(tmp_path))(str(tmp_path))


@pytest.fixture
def dicom_folder(tmp_path: Path) -> Path:
    """Return a folder with the two series of one phantom patient, their slices mixed."""
    patient = make_patient(3_000, "universal", PhantomSettings(size=64, slice_spacing_mm=10.0, coverage_mm=120.0))
    for series in patient.series[:2]:
        write_dicom_series(tmp_path / "mixed", patient, series)
    return tmp_path / "mixed"


def test_one_slice_opens_its_whole_series_and_no_other(dicom_folder: Path) -> None:
    both = sorted(dicom_folder.iterdir())
    first, second = (
        next(f for f in both if series_uid_of(f) == uid) for uid in sorted({series_uid_of(f) for f in both}, key=str)
    )
    ((voxels, options, _),) = get_reader(str(first))(str(first))
    assert voxels.shape[0] == sum(series_uid_of(file) == series_uid_of(first) for file in both)
    assert options["scale"][0] == pytest.approx(10.0)
    assert options["metadata"] == {SERIES_UID: series_uid_of(first)}
    assert series_uid_of(second) != series_uid_of(first)


def test_all_slices_of_a_folder_opened_at_once_are_one_layer_for_each_series(viewer: Any, dicom_folder: Path) -> None:
    viewer.open([str(path) for path in sorted(dicom_folder.iterdir())], plugin="lens-napari")
    assert len(viewer.layers) == 2
    assert len({layer.metadata[SERIES_UID] for layer in viewer.layers}) == 2
    shown = viewer.layers[0]
    one = next(path for path in dicom_folder.iterdir() if series_uid_of(path) == shown.metadata[SERIES_UID])
    viewer.open(str(one), plugin="lens-napari")
    assert len(viewer.layers) == 2
    assert viewer.layers.selection.active is shown


def test_a_folder_of_several_series_opens_each_with_a_name(dicom_folder: Path) -> None:
    layers = get_reader(str(dicom_folder))(str(dicom_folder))
    assert len(layers) == 2
    assert all(options["name"] for _, options, _ in layers)


@pytest.mark.real_data
def test_one_slice_of_a_real_scan_opens_all_of_it(real_data: Path, viewer: Any) -> None:
    slices = sorted((real_data / "liver_crlm_1006" / "dicom").rglob("*.dcm"))
    (layer,) = viewer.open(str(slices[7]), plugin="lens-napari")
    assert layer.data.shape == (51, 512, 512)
    assert tuple(layer.scale) == pytest.approx((5.0, 0.805, 0.805), abs=1e-3)
    assert viewer.open(str(slices[30]), plugin="lens-napari") == []


def test_what_is_no_scan_is_refused_in_words_and_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "letter.dcm").write_text("Dear colleague")
    os.mkfifo(tmp_path / "pipe.dcm")
    for name, told in (("letter.dcm", "not an image of a scan"), ("pipe.dcm", "pipe or device")):
        with pytest.raises(LensError, match=told):
            get_reader(str(tmp_path / name))(str(tmp_path / name))
