import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest
from support.review_project import ReviewProject

from lens_engine.errors import LensError
from lens_napari.contributions import get_reader, phantom_patient

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
