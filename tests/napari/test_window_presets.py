import numpy as np
import pytest

from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_napari.display import hu_at
from lens_napari.window_presets import Preset, Window, WindowChoice, preset_for

BOX = (10.0, 10.0, 2.0, 20.0, 20.0, 4.0)


@pytest.mark.parametrize(
    ("hu", "preset"), [(-800, Preset.LUNG), (40, Preset.SOFT_TISSUE), (700, Preset.BONE), (-1000, Preset.SOFT_TISSUE)]
)
def test_the_surroundings_choose_the_window(hu: int, preset: Preset) -> None:
    assert preset_for(np.full((6, 40, 40), hu, dtype=np.int16), BOX) is preset


def test_limits_and_window_are_inverse() -> None:
    window = Window(400, 40)
    assert Window.from_limits(*window.limits) == window


def test_dragging_right_widens_and_never_turns_over() -> None:
    assert Window(400, 40).dragged(10, 5) == Window(420, 45)
    assert Window(400, 40).dragged(-1000, 0).width == 1


def test_a_window_changes_only_on_arrival_in_a_new_region() -> None:
    choice = WindowChoice()
    assert choice.on_arrival(Preset.LUNG) == Preset.LUNG.value
    assert choice.on_arrival(Preset.LUNG) is None
    assert choice.on_arrival(Preset.BONE) == Preset.BONE.value


def test_a_manual_window_sticks_until_reset() -> None:
    choice = WindowChoice()
    choice.by_hand()
    assert choice.on_arrival(Preset.LUNG) is None
    choice.reset()
    assert choice.on_arrival(Preset.LUNG) == Preset.LUNG.value


def test_the_hounsfield_value_is_read_where_the_cursor_is() -> None:
    voxels = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = Volume(voxels, VolumeGeometry((2, 3, 4), (5.0, 1.0, 2.0)))
    assert hu_at(volume, (5.0, 1.2, 4.1)) == voxels[1, 1, 2]
    assert hu_at(volume, (5.0, 3.0, 4.1)) is None
