"""Where the docks lie: the picture is the largest thing, napari's own layer docks stay behind."""

from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow

from lens_napari.controller import ReviewController

SIZE = (1600, 1000)
LEFT_WIDTH, RIGHT_WIDTH, BOTTOM_HEIGHT = 320, 350, 120
NAPARI_DOCKS = ("layer list", "layer controls")


def arrange(controller: ReviewController) -> None:
    """Put the panels of a controller around the picture of its viewer."""
    window = controller.viewer.window
    left = window.add_dock_widget(controller.worklist, name="Worklist", area="left", add_vertical_stretch=False)
    right = window.add_dock_widget(
        controller.lesion_panel, name="This lesion", area="right", add_vertical_stretch=False
    )
    retrain = _behind(window, controller.retrain_panel, "Retrain")
    models = _behind(window, controller.models_panel, "Models")
    bottom = window.add_dock_widget(controller.jobs_panel, name="Jobs", area="bottom", add_vertical_stretch=False)
    main: QMainWindow = left.window()
    main.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
    main.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
    for dock in main.findChildren(QDockWidget):
        if dock.objectName() in NAPARI_DOCKS:
            dock.hide()
    main.tabifyDockWidget(right, retrain)
    main.tabifyDockWidget(right, models)
    QTimer.singleShot(0, right.raise_)  # napari raises what was added last when it gets back to its event loop
    main.resizeDocks([left, right], [LEFT_WIDTH, RIGHT_WIDTH], Qt.Orientation.Horizontal)
    main.resizeDocks([bottom], [BOTTOM_HEIGHT], Qt.Orientation.Vertical)
    controller.jobs.retrain_shown.connect(retrain.raise_)


def _behind(window: Any, panel: Any, name: str) -> QDockWidget:
    dock: QDockWidget = window.add_dock_widget(panel, name=name, area="right", add_vertical_stretch=False, tabify=True)
    return dock
