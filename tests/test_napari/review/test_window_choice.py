import numpy as np

from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset
from lens_napari.review.window_choice import WindowChoice
from lens_napari.viewer.display import hu_at


def test_a_window_changes_only_on_arrival_in_a_new_region() -> None:
    choice = WindowChoice()
    assert choice.on_arrival(Preset.LUNG) == Preset.LUNG.value
    assert choice.on_arrival(Preset.LUNG) is None
    assert choice.on_arrival(Preset.BONE) == Preset.BONE.value


def test_in_another_series_the_same_region_chooses_again() -> None:
    choice = WindowChoice()
    choice.on_arrival(Preset.LUNG)
    choice.on_series()
    assert choice.on_arrival(Preset.LUNG) == Preset.LUNG.value


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
