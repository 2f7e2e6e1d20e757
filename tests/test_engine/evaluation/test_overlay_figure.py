"""Overlay pictures: every place gets a panel, every box its style, in the coordinates of boxes."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lens_engine.evaluation.outcomes import CaseOutcomes, InstructivePlace, Outcome, instructive_places
from lens_engine.evaluation.overlay_figure import overlay_figure
from lens_engine.geometry import VolumeGeometry
from lens_engine.volume import Volume
from lens_engine.window_presets import Preset

NONE = np.zeros((0, 7))
HIT = np.asarray([[20, 30, 4, 40, 60, 9, 0.75]])
WRONG = np.asarray([[100, 10, 4, 120, 20, 7, 0.5]])
MISSED = np.asarray([[70.0, 80, 5, 90, 95, 6]])


@pytest.fixture(scope="module")
def volume() -> Volume:
    voxels = np.full((12, 160, 200), 40, dtype=np.int16)
    return Volume(voxels, VolumeGeometry(voxels.shape, (5.0, 0.8, 0.8), first_slice_number=101))


OUTCOMES = CaseOutcomes(hits=HIT, repeats=NONE, false_positives=WRONG, found=HIT[:, :6], missed=MISSED)


def shown(figure: Figure) -> list[Axes]:
    return [panel for panel in figure.axes if panel.images]


def rectangles(panel: Axes) -> set[tuple[float, float, float, float]]:
    boxes = [patch for patch in panel.patches if isinstance(patch, Rectangle)]
    return {(*box.get_xy(), box.get_width(), box.get_height()) for box in boxes}


def test_each_place_has_a_panel_that_names_outcome_score_and_slice(volume: Volume) -> None:
    figure = overlay_figure(volume, OUTCOMES, instructive_places(OUTCOMES, 3))
    titles = [panel.get_title() for panel in shown(figure)]
    assert titles == ["false positive 0.50 · slice 106", "missed lesion · slice 106", "true positive 0.75 · slice 107"]


def test_a_slice_shows_every_box_that_lies_on_it_where_it_lies(volume: Volume) -> None:
    wrong, missed, hit = shown(overlay_figure(volume, OUTCOMES, instructive_places(OUTCOMES, 3)))
    assert rectangles(wrong) == {(20, 30, 20, 30), (100, 10, 20, 10), (70, 80, 20, 15)}
    assert rectangles(missed) == rectangles(wrong)
    assert rectangles(hit) == {(20, 30, 20, 30), (100, 10, 20, 10)}
    assert hit.images[0].get_extent() == [0, 200, 160, 0]


def test_the_box_lies_inside_its_panel_also_at_the_border_and_when_it_is_large(volume: Volume) -> None:
    for box in ([0, 0, 0, 6, 6, 2], [190, 150, 10, 200, 160, 12], [2, 2, 0, 195, 158, 12]):
        place = InstructivePlace(Outcome.MISSED, np.asarray(box, dtype=float), None)
        (panel,) = shown(overlay_figure(volume, OUTCOMES, [place]))
        (left, right), (bottom, top) = panel.get_xlim(), panel.get_ylim()
        assert 0 <= left <= box[0] < box[3] <= right <= 200
        assert 0 <= top <= box[1] < box[4] <= bottom <= 160


def test_one_legend_tells_all_outcomes(volume: Volume) -> None:
    figure = overlay_figure(volume, OUTCOMES, instructive_places(OUTCOMES, 3))
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["lesion, found", "lesion, missed", "true positive", "false positive"]


def test_the_window_fits_the_place_unless_one_is_chosen(volume: Volume) -> None:
    lung = Volume(np.full((12, 160, 200), -800, dtype=np.int16), volume.geometry)
    places = instructive_places(OUTCOMES, 1)
    assert shown(overlay_figure(lung, OUTCOMES, places))[0].images[0].get_clim() == Preset.LUNG.value.limits
    chosen = overlay_figure(lung, OUTCOMES, places, Preset.BONE)
    assert shown(chosen)[0].images[0].get_clim() == Preset.BONE.value.limits


def test_a_case_without_places_is_still_a_picture(volume: Volume, tmp_path: Path) -> None:
    nothing = CaseOutcomes(NONE, NONE, NONE, MISSED[:0], MISSED[:0])
    figure = overlay_figure(volume, nothing, (), title="nothing to see")
    assert len(shown(figure)) == 1
    figure.savefig(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_voxels_that_are_not_square_are_drawn_to_scale() -> None:
    voxels = np.zeros((3, 40, 40), dtype=np.int16)
    narrow = Volume(voxels, VolumeGeometry(voxels.shape, (5.0, 1.0, 0.5)))
    (panel,) = shown(overlay_figure(narrow, OUTCOMES, ()))
    assert panel.get_aspect() == 2
