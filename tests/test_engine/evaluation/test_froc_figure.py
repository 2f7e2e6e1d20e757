"""The FROC picture: what is drawn, what is written, and that no global state is touched."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lens_engine.errors import BoxError
from lens_engine.evaluation.bootstrap import Interval
from lens_engine.evaluation.froc import FrocCurve
from lens_engine.evaluation.froc_figure import figure


def curve(found: float = 0.5, lesions: int = 10, rule: str = "3D IoBB ≥ 0.3") -> FrocCurve:
    rates = np.arange(0, 17, dtype=np.float64)
    return FrocCurve(rates, np.linspace(0, found, 17), rates[::-1], 4, lesions, rule)


def legend(drawing: object) -> list[str]:
    return [text.get_text() for text in drawing.legends[0].get_texts()]  # type: ignore[attr-defined]  # matplotlib's own


def test_each_curve_is_drawn_with_its_average_and_interval() -> None:
    drawing = figure({"before": curve(0.4), "after": curve(0.8)}, {"after": Interval(0.2, 0.1, 0.3, 0.95)})
    assert legend(drawing) == [f"before: {100 * curve(0.4).average_sensitivity:.1f}", "after: 20.0 (10.0 to 30.0)"]
    assert "IoBB ≥ 0.3" in drawing.axes[0].get_ylabel()


def test_a_curve_without_lesions_says_that_it_is_not_measurable() -> None:
    assert "not measurable" in legend(figure({"v1": curve(lesions=0)}))[0]


def test_curves_of_different_rules_are_not_mixed() -> None:
    with pytest.raises(BoxError, match="2 different matching rules"):
        figure({"a": curve(), "b": curve(rule="3D IoU ≥ 0.3")})


def test_a_picture_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    figure({}).savefig(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_drawing_needs_no_display_and_no_pyplot(tmp_path: Path) -> None:
    code = (
        "import sys; import numpy as np; from lens_engine.evaluation.froc import match;"
        "from lens_engine.evaluation.froc_figure import figure;"
        "curve = match({}, {'a': np.asarray([[0, 0, 0, 1, 1, 1.0]])}).curve();"
        f"figure({{'v1': curve}}).savefig({str(tmp_path / 'froc.png')!r});"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": "/usr/bin", "HOME": str(tmp_path)})
    assert (tmp_path / "froc.png").is_file()
