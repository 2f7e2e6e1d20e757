"""Review curves as a picture. Only matplotlib's objects are used, never pyplot: no global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lens_engine.evaluation.froc_figure import BACKGROUND, COLOURS, GRID, LINE_STYLES, TEXT
from lens_engine.mining.reports.review_curve import ReviewCurve


def figure(orders: Mapping[str, Sequence[ReviewCurve]], title: str = "") -> Figure:
    """Draw lesions found against questions asked, one line for each named order; several orders give their mean."""
    drawing = Figure(figsize=(6.4, 4.4), layout="constrained", facecolor=BACKGROUND)
    axes = drawing.add_subplot()
    axes.set_facecolor(BACKGROUND)
    axes.set_title(title, color=TEXT, fontsize="medium")
    axes.set_xlabel("questions asked", color=TEXT)
    axes.set_ylabel("unmarked lesions found", color=TEXT)
    axes.tick_params(colors=TEXT)
    axes.grid(color=GRID)
    for index, (name, curves) in enumerate(orders.items()):
        found = np.mean([curve.found() for curve in curves], axis=0)
        style = LINE_STYLES[index % len(LINE_STYLES)]
        axes.plot(np.arange(len(found)), found, style, color=COLOURS[index % len(COLOURS)], label=name)
    axes.legend(facecolor=BACKGROUND, edgecolor=GRID, labelcolor=TEXT)
    return drawing
