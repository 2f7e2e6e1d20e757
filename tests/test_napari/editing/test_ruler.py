import pytest

from lens_napari.editing.ruler import Ruler


def test_a_length_is_told_in_millimetres() -> None:
    ruler = Ruler(3, (10.0, 10.0), (13.0, 14.0))
    assert ruler.length_mm == pytest.approx(5.0)
    assert ruler.words == "5.0 mm"
