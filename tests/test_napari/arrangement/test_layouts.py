from pathlib import Path

import pytest

from lens_napari.arrangement.layouts import LayoutFiles, WindowLayout

LAYOUT = WindowLayout(docks=b"AAEC", width=1500, height=900)


def test_a_layout_comes_back_as_it_was_kept_and_each_workspace_has_its_own(tmp_path: Path) -> None:
    files = LayoutFiles(tmp_path / "layouts")
    files.keep("review", LAYOUT)
    assert files.read("review") == LAYOUT
    assert LAYOUT.docks == bytes([0, 1, 2])
    assert files.read("test-set") is None
    files.forget("review")
    files.forget("review")
    assert files.read("review") is None


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"docks": "AAEC", "width": 0, "height": 4}', b"[]"])
def test_a_broken_file_counts_as_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "review.json").write_bytes(content)
    assert LayoutFiles(tmp_path).read("review") is None


def test_a_window_fits_on_a_screen_of_its_size() -> None:
    assert LAYOUT.fits(1500, 900)
    assert not LAYOUT.fits(1499, 2000)
    assert not LAYOUT.fits(2000, 899)
