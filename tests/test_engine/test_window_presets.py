import numpy as np
import pytest

from lens_engine.window_presets import Preset, Window, preset_for

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


def test_greys_run_from_black_at_the_lower_limit_to_white_at_the_upper() -> None:
    hu = np.asarray([[-3024, -160, 40, 240, 3071]], dtype=np.int16)
    np.testing.assert_array_equal(Window(400, 40).greys(hu), [[0, 0, 127, 255, 255]])
