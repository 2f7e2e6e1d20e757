"""FROC curves as a picture that can be read in a dark room, for the viewer's panel and for reports.

Only matplotlib's objects are used, never pyplot: no global state, no backend is chosen, and any thread may draw.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import Interval
from lens_engine.evaluation.froc import DRAWN_RATES, FALSE_POSITIVE_RATES, FrocCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND = "#1b1d21"
TEXT = "#d7dade"
GRID = "#3a3e45"

COLOURS = ("#56B4E9", "#E69F00", "#2FBF8F", "#CC79A7", "#F0E442", "#FFFFFF")
"""In the order of the curves; distinguishable with red-green blindness. Line styles repeat the distinction."""

LINE_STYLES = ("-", "--", "-.", ":")


def figure(
    curves: Mapping[str, FrocCurve],
    intervals: Mapping[str, Interval] | None = None,
    title: str = "",
    size_inches: tuple[float, float] = (6.4, 4.4),
) -> "Figure":
    """Draw FROC curves over each other, with the seven reported points marked.

    Parameters
    ----------
    curves
        By the name to show. Curves without any lesion in their truth are named in the legend, and not drawn.
    intervals
        Of the average sensitivity, by the same names; shown in the legend in place of the average of the curve, which
        may have been thinned out.

    Returns
    -------
    Figure
        Free of any canvas but matplotlib's own; `savefig` writes it, a Qt canvas can hold it.

    Raises
    ------
    BoxError
        If the curves were measured with different matching rules.
    """
    from matplotlib.figure import Figure  # takes a third of a second, and most windows never draw a curve

    rules = {curve.rule for curve in curves.values()}
    if len(rules) > 1:
        raise BoxError(
            f"The curves use {len(rules)} different matching rules",
            "Sensitivities of one rule can be compared in one picture",
            "Draw one figure for each rule",
        )
    drawing = Figure(figsize=size_inches, layout="constrained", facecolor=BACKGROUND)
    axes = drawing.add_subplot()
    _style(axes, title)
    for rule in rules:
        axes.set_ylabel(f"lesions found (%), {rule}", color=TEXT)
    for index, (name, curve) in enumerate(curves.items()):
        _draw(axes, index, _legend_entry(name, curve, (intervals or {}).get(name)), curve)
    if curves:
        drawing.legend(
            loc="outside lower center",  # below the axes, where no curve can run behind it
            title="average at 1/8 to 8 per scan",
            title_fontsize="small",
            fontsize="small",
            labelcolor=TEXT,
            facecolor=BACKGROUND,
            edgecolor=GRID,
        ).get_title().set_color(TEXT)
    return drawing


def _style(axes: "Axes", title: str) -> None:
    axes.set_facecolor(BACKGROUND)
    axes.set_xscale("log", base=2)
    axes.set_xlim(*DRAWN_RATES)
    axes.set_ylim(0, 100)
    axes.set_xticks(FALSE_POSITIVE_RATES, ["1/8", "1/4", "1/2", "1", "2", "4", "8"])
    axes.minorticks_off()
    axes.set_xlabel("false positives per scan", color=TEXT)
    axes.set_ylabel("lesions found (%)", color=TEXT)
    axes.set_title(title, color=TEXT, fontsize="medium")
    axes.tick_params(colors=TEXT)
    axes.grid(color=GRID, linewidth=0.6)
    for spine in axes.spines.values():
        spine.set_color(GRID)


def _draw(axes: "Axes", index: int, label: str, curve: FrocCurve) -> None:
    colour, style = COLOURS[index % len(COLOURS)], LINE_STYLES[index % len(LINE_STYLES)]
    rates = np.geomspace(*DRAWN_RATES, 800)
    axes.plot(
        rates, 100 * curve.sensitivity_at(rates.tolist()), color=colour, linestyle=style, linewidth=1.8, label=label
    )
    axes.plot(FALSE_POSITIVE_RATES, 100 * curve.sensitivity_at(), "o", color=colour, markersize=4)


def _legend_entry(name: str, curve: FrocCurve, interval: Interval | None) -> str:
    if curve.lesions == 0:
        return f"{name}: not measurable, no lesion in the truth"
    if interval is None:
        return f"{name}: {100 * curve.average_sensitivity:.1f}"
    entry = f"{name}: {100 * interval.value:.1f}"
    if np.isfinite([interval.low, interval.high]).all():
        entry += f" ({100 * interval.low:.1f} to {100 * interval.high:.1f})"
    return entry
