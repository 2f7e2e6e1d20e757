"""Seeded synthetic CT patients with known lesions."""

from lens_engine.phantom.acquisition import Kernel
from lens_engine.phantom.lesions import LesionType
from lens_engine.phantom.patient import (
    DATASETS,
    DEMO_SEEDS,
    GENERATOR_VERSION,
    TEST_SEEDS,
    TRAIN_SEEDS,
    VAL_SEEDS,
    PhantomLesion,
    PhantomPatient,
    PhantomSeries,
    PhantomSettings,
    make_patient,
    make_series,
)
from lens_engine.phantom.tissues import Phase, Tissue

__all__ = [
    "DATASETS",
    "DEMO_SEEDS",
    "GENERATOR_VERSION",
    "TEST_SEEDS",
    "TRAIN_SEEDS",
    "VAL_SEEDS",
    "Kernel",
    "LesionType",
    "PhantomLesion",
    "PhantomPatient",
    "PhantomSeries",
    "PhantomSettings",
    "Phase",
    "Tissue",
    "make_patient",
    "make_series",
]
