"""The generator is frozen: a seed gives the patient that reports were measured on, or the version is another one.

`frozen_patients.json` holds two small patients as this generator made them. Whoever changes what a seed gives raises
`GENERATOR_VERSION`, stores what `described` says of the new ones, and measures every report anew.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lens_engine.phantom.patient import GENERATOR_VERSION, PhantomSeries, PhantomSettings, draw_body, make_patient

STORED = json.loads(Path(__file__).with_name("frozen_patients.json").read_text(encoding="utf-8"))
SMALL = PhantomSettings(size=64, slice_spacing_mm=10.0, coverage_mm=200.0, studies=2, withheld_share=0.5)
STEP = (5, 7, 7)
"""Every so many voxels along z, y and x are stored."""
SHARE = 0.01
"""Of the voxels may differ, by 1 HU: another processor may round a few otherwise."""


def described(seed: int, dataset: str) -> dict[str, Any]:
    """Return what is stored of a patient: what was planned, and of each series its labels, lesions and some voxels."""
    body = draw_body(seed, dataset, SMALL)
    return {
        "seed": seed,
        "dataset": dataset,
        "plans": [
            [plan.key, [round(value, 2) for value in (*plan.centre, *plan.diameters_mm, *plan.proportions)]]
            for plan in (*body.lesions, *body.look_alikes)
        ],
        "series": [_series(series) for series in make_patient(seed, dataset, SMALL).series],
    }


def _series(series: PhantomSeries) -> dict[str, Any]:
    return {
        "study_date": series.study_date.isoformat(),
        "kernel": series.kernel.value,
        "phase": series.phase.value,
        "origin_mm": [round(value, 2) for value in series.volume.geometry.origin_mm],
        "lesions": [[lesion.key, lesion.is_labelled, list(lesion.box)] for lesion in series.lesions],
        "voxels": series.volume.voxels[:: STEP[0], :: STEP[1], :: STEP[2]].ravel().tolist(),
    }


@pytest.mark.parametrize("stored", STORED["patients"], ids=lambda stored: f"{stored['dataset']} {stored['seed']}")
def test_a_seed_gives_what_it_gave_when_this_version_was_frozen(stored: dict[str, Any]) -> None:
    assert STORED["generator_version"] == GENERATOR_VERSION, "store the patients of the new version, see above"
    made = described(stored["seed"], stored["dataset"])
    for now, frozen in zip(made["series"], stored["series"], strict=True):
        difference = np.abs(np.subtract(now["voxels"], frozen["voxels"]))
        assert difference.max() <= 1
        assert (difference > 0).mean() <= SHARE
    assert _without_voxels(made) == _without_voxels(stored)


def _without_voxels(patient: dict[str, Any]) -> dict[str, Any]:
    series = [{name: value for name, value in row.items() if name != "voxels"} for row in patient["series"]]
    return {**patient, "series": series}
