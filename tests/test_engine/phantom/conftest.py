"""Small phantoms that several tests look at."""

from pathlib import Path

import pytest

from lens_engine.findings import Split
from lens_engine.phantom.cohort import CohortPlan, CohortReport, PlannedPatient, write_cohort
from lens_engine.phantom.patient import PhantomPatient, PhantomSettings, make_patient

SMALL = PhantomSettings(size=128, slice_spacing_mm=5.0, coverage_mm=260.0)


@pytest.fixture(scope="session")
def small_settings() -> PhantomSettings:
    return SMALL


@pytest.fixture(scope="session")
def universal_patient() -> PhantomPatient:
    return make_patient(17, "universal", SMALL)


@pytest.fixture(scope="session")
def small_cohort(tmp_path_factory: pytest.TempPathFactory) -> CohortReport:
    """One patient of each split and format in the universal set, and one liver patient."""
    patients = (
        PlannedPatient(1, 21, "universal", Split.TRAIN, studies=2, series_per_study=2),
        PlannedPatient(2, 22, "universal", Split.VAL),
        PlannedPatient(3, 23, "universal", Split.TEST, is_nifti=True),
        PlannedPatient(4, 24, "liver", Split.TRAIN, is_nifti=True),
    )
    folder: Path = tmp_path_factory.mktemp("phantoms") / "cohort"
    return write_cohort(folder, CohortPlan(patients, SMALL))
