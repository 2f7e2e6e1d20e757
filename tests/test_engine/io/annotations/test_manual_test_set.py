import json
import os
import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lens_engine.errors import AnnotationFileError, ExportError
from lens_engine.findings import SliceBox
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.imported import AnnotationFormat, TestSetPart
from lens_engine.io.annotations.manual_test_set import (
    ManualSubVolume,
    boxes_from_rows,
    import_manual_test_set,
    read_json,
    read_pickle,
    rows_from_boxes,
    write_json,
    write_pickle,
)

PUBLISHED_GLOBALS = {"numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"}
TWO_BOXES = np.asarray([[120, 229, 39, 155, 266, 44], [120, 229, 39, 155, 266, 44]], dtype=np.float64)
NONE = np.empty((0, 6))
EXAMPLE = (
    ManualSubVolume(TestSetPart.VAL, "000410_02_02_039-099", TWO_BOXES),
    ManualSubVolume(TestSetPart.TEST, "002666_01_01_001-030", NONE),
    ManualSubVolume(TestSetPart.TEST, "000003_01_01_001-030", TWO_BOXES[:1] - [0, 0, 38, 0, 0, 38]),
)
FORMS = [(write_pickle, read_pickle, "set.pkl"), (write_json, read_json, "set.json")]


def assert_same(first: tuple[ManualSubVolume, ...], second: tuple[ManualSubVolume, ...]) -> None:
    assert [(item.part, item.name) for item in first] == [(item.part, item.name) for item in second]
    for one, other in zip(first, second, strict=True):
        assert one.rows.dtype == other.rows.dtype == np.float64
        np.testing.assert_array_equal(one.rows, other.rows, strict=True)


@pytest.mark.parametrize(("write", "read", "name"), FORMS)
def test_order_duplicates_and_empty_sub_volumes_survive(write, read, name, tmp_path):
    write(tmp_path / name, EXAMPLE)
    assert_same(read(tmp_path / name), EXAMPLE)


rows = st.lists(
    st.tuples(*[st.integers(0, 511)] * 2, st.integers(39, 60), *[st.integers(0, 80)] * 2, st.integers(0, 39)),
    max_size=5,
).map(lambda found: np.asarray([[x, y, z, x + w, y + h, z + d] for x, y, z, w, h, d in found], float).reshape(-1, 6))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows, rows)
@pytest.mark.parametrize(("write", "read", "name"), FORMS)
def test_any_rows_survive(write, read, name, tmp_path, first, second):
    written = (
        ManualSubVolume(TestSetPart.VAL, "000410_02_02_039-099", first),
        ManualSubVolume(TestSetPart.TEST, "000411_02_02_039-099", second),
    )
    write(tmp_path / name, written)
    assert_same(read(tmp_path / name), written)


@given(rows)
def test_rows_become_half_open_boxes_and_rows_again(first):
    boxes = boxes_from_rows(first, 39)
    np.testing.assert_array_equal(boxes[:, 3:] - boxes[:, :3], first[:, 3:] - first[:, :3] + 1)
    np.testing.assert_array_equal(rows_from_boxes(boxes, 39), first)


def test_adjusted_boxes_are_rounded_outwards():
    boxes = np.asarray([[10.2, 20.0, 0.0, 30.7, 40.0, 3.0]])
    np.testing.assert_array_equal(rows_from_boxes(boxes, 39), [[10, 20, 39, 30, 39, 41]])


def test_the_pickle_names_only_the_three_globals_of_the_published_file(tmp_path):
    write_pickle(tmp_path / "set.pkl", EXAMPLE)
    content = (tmp_path / "set.pkl").read_bytes()
    named = {argument for code, argument, _ in pickletools.genops(content) if "GLOBAL" in code.name}
    assert named == PUBLISHED_GLOBALS
    assert next(pickletools.genops(content))[1] == 3


def test_a_plain_pickle_load_gives_the_published_layout(tmp_path):
    write_pickle(tmp_path / "set.pkl", EXAMPLE)
    parts = pickle.loads((tmp_path / "set.pkl").read_bytes())
    assert list(parts) == ["val", "test"]
    assert list(parts["test"]) == ["002666_01_01_001-030", "000003_01_01_001-030"]
    assert parts["test"]["002666_01_01_001-030"].shape == (0, 6)
    np.testing.assert_array_equal(parts["val"]["000410_02_02_039-099"], TWO_BOXES)


def test_array_bytes_that_look_like_a_global_are_left_alone(tmp_path):
    name = "000001_01_01_001-030"
    write_pickle(tmp_path / "set.pkl", (ManualSubVolume(TestSetPart.VAL, name, NONE),))
    first = (tmp_path / "set.pkl").read_bytes()
    assert first.count(b"cnumpy.core.multiarray\n_reconstruct\n") == 1
    assert b"_core" not in first


def test_the_json_form_says_how_to_read_it(tmp_path):
    write_json(tmp_path / "set.json", EXAMPLE)
    content = json.loads((tmp_path / "set.json").read_text())
    assert content["axis_order"] == ["x1", "y1", "z1", "x2", "y2", "z2"]
    assert content["ends"] == "inclusive"
    assert "slice number" in content["unit"]
    assert content["val"]["000410_02_02_039-099"][0] == [120, 229, 39, 155, 266, 44]


def test_imported_boxes_are_canonical_and_empty_sub_volumes_are_named(tmp_path):
    write_pickle(tmp_path / "set.pkl", EXAMPLE)
    imported = read_annotations(tmp_path / "set.pkl", [])
    assert imported.format is AnnotationFormat.MANUAL_TEST_SET
    assert [item.name for item in imported.sub_volumes] == [item.name for item in EXAMPLE]
    lesion = imported.lesions[0]
    assert lesion.box == (120, 229, 0, 156, 267, 6)
    assert lesion.slices[0] == SliceBox(0, (120, 229, 156, 267))
    assert (len(lesion.slices), lesion.first_slice_number) == (6, 39)


class _Foreign:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("harmful", "name"),
    [(_Foreign(os.system, "touch harmed"), "posix.system"), (Path(), "pathlib"), (_Foreign, "_Foreign")],
)
@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_a_foreign_global_is_refused_by_name_and_does_not_run(harmful, name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        content = pickle.dumps({"val": {"000001_01_01_001-030": harmful}, "test": {}}, protocol=protocol)
    except pickle.PicklingError:
        content = b"\x80\x03c" + b"some.module\n_Foreign\n."
    Path("set.pkl").write_bytes(content)
    with pytest.raises(AnnotationFileError, match=f"asks for .*{name}"):
        read_pickle(Path("set.pkl"))
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a complete pickle"),
        (b"garbage", "not a complete pickle"),
        (pickle.dumps([1, 2]), "it holds a list"),
        (pickle.dumps({"train": {}}), "keys \\['train'\\]"),
        (pickle.dumps({"val": []}), "part val is a list"),
        (pickle.dumps({"val": {"000001_01_01_001-030": [1]}}), "is a list"),
        (pickle.dumps({"val": {"scan": np.zeros((0, 6))}}, protocol=3), "'scan' is not the name of a sub-volume"),
        (pickle.dumps({"val": {"000001_01_01_001-030": np.zeros((2, 7))}}, protocol=3), r"shape \(2, 7\)"),
        (pickle.dumps({"val": {"000001_01_01_001-030": np.zeros((2, 6), int)}}, protocol=3), "int64"),
        (pickle.dumps({"val": {"000001_01_01_001-030": np.full((1, 6), 1.5)}}, protocol=3), "whole numbers"),
        (pickle.dumps({"val": {"000001_01_01_001-030": np.full((1, 6), 31.0)}}, protocol=3), "leaves the slice range"),
        (pickle.dumps({"val": {"000001_01_01_001-030": np.full((1, 6), np.nan)}}, protocol=3), "whole numbers"),
    ],
)
def test_a_pickle_of_something_else_is_refused_with_what_it_is(content, message, tmp_path):
    (tmp_path / "set.pkl").write_bytes(content)
    with pytest.raises(AnnotationFileError, match=message):
        read_pickle(tmp_path / "set.pkl")


def test_a_truncated_pickle_is_refused(tmp_path):
    write_pickle(tmp_path / "set.pkl", EXAMPLE)
    content = (tmp_path / "set.pkl").read_bytes()
    for length in range(1, len(content), 29):
        (tmp_path / "set.pkl").write_bytes(content[:length])
        with pytest.raises(AnnotationFileError):
            read_pickle(tmp_path / "set.pkl")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "JSON"), ('{"val": {}}', "test: Field required"), ('{"boxes": [], "test": {}}', "val")],
)
def test_another_json_is_refused(content, message, tmp_path):
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(AnnotationFileError, match=message):
        import_manual_test_set(tmp_path / "set.json")


def test_the_same_name_twice_is_refused(tmp_path):
    with pytest.raises(AnnotationFileError, match="000410_02_02_039-099 is there twice"):
        write_pickle(tmp_path / "set.pkl", (EXAMPLE[0], EXAMPLE[0]))


def test_a_full_disk_leaves_the_old_export_and_no_rest(tmp_path):
    write_json(tmp_path / "set.json", EXAMPLE)
    before = (tmp_path / "set.json").read_bytes()
    script = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lens_engine.errors import ExportError
from lens_engine.io.annotations.manual_test_set import ManualSubVolume, TestSetPart, write_json, write_pickle
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
big = (ManualSubVolume(TestSetPart.VAL, "000001_01_01_001-030", np.tile([[1.0, 1, 1, 2, 2, 2]], (5000, 1))),)
for write in (write_json, write_pickle):
    try:
        write(Path(sys.argv[1]), big)
    except ExportError as error:
        sys.stderr.write(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "set.json")], capture_output=True, text=True, check=True
    )
    assert done.stderr.count("cannot be written: File too large") == 2
    assert (tmp_path / "set.json").read_bytes() == before
    assert os.listdir(tmp_path) == ["set.json"]


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot be written"):
        write_json(tmp_path / "file" / "set.json", EXAMPLE)
