"""Phantom patients made in memory, labelled the way their data sets are (nothing touches the disk)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lens_engine.boxes import pad_in_plane
from lens_engine.findings import Scope
from lens_engine.phantom.patient import (
    DATASETS,
    TRAIN_SEEDS,
    UNIVERSAL,
    VAL_SEEDS,
    PhantomLesion,
    PhantomPatient,
    PhantomSeries,
    PhantomSettings,
    make_patient,
)
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_engine.volume import Volume
from lens_training.datasets.series import TrainingSeries
from lens_training.labels import TIGHT_BOX_MARGIN_VOXELS
from lens_training.recipe import PhantomRecipe

SCOPES = {name: Scope.UNIVERSAL if name == UNIVERSAL else Scope.SINGLE_TYPE for name in DATASETS}


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredSeries:
    """A scan to measure on.

    Attributes
    ----------
    truth
        float64 (g, 6), every lesion of the scan with the margin that labels have.
    """

    name: str
    patient: str
    volume: Volume
    truth: NDArray[np.float64]


def training_series(recipe: PhantomRecipe) -> Iterator[TrainingSeries]:
    """Make the series of the training patients, those of one patient after another."""
    for dataset in DATASETS:
        for number in range(recipe.patients(is_universal=dataset == UNIVERSAL)):
            patient = make_patient(TRAIN_SEEDS[number], dataset, _settings(recipe, number))
            for series in patient.series:
                yield _labelled(patient, series)


def measured_series(recipe: PhantomRecipe) -> Iterator[MeasuredSeries]:
    """Make the series of the validation patients, with their complete truth."""
    for number in range(recipe.val_patients):
        patient = make_patient(VAL_SEEDS[number], UNIVERSAL, _settings(recipe, number))
        for series in patient.series:
            tight = np.asarray([lesion.box for lesion in series.lesions], dtype=np.float64).reshape(-1, 6)
            truth = pad_in_plane(tight, TIGHT_BOX_MARGIN_VOXELS)
            yield MeasuredSeries(_name(patient, series), str(patient.seed), series.volume, truth)


def _settings(recipe: PhantomRecipe, number: int) -> PhantomSettings:
    return PhantomSettings(
        slice_spacing_mm=recipe.slice_spacings_mm[number % len(recipe.slice_spacings_mm)],
        studies=recipe.studies,
        withheld_share=recipe.withheld_share,
    )


def _name(patient: PhantomPatient, series: PhantomSeries) -> str:
    return f"{patient.dataset}-{patient.seed}-{series.study_number}-{series.series_number}"


def _labelled(patient: PhantomPatient, series: PhantomSeries) -> TrainingSeries:
    name = _name(patient, series)
    label = _marked_on_key_slice if patient.dataset == UNIVERSAL else _drawn_completely
    lesions = tuple(label(name, lesion) for lesion in series.lesions if lesion.is_labelled)
    volume = series.volume
    return TrainingSeries(name, patient.dataset, volume.geometry, lesions, lambda: volume)


def _marked_on_key_slice(series: str, lesion: PhantomLesion) -> Lesion:
    """Label a lesion as DeepLesion does: the box around its RECIST marks with a margin, on one slice (spec 1.4)."""
    ends = np.asarray(lesion.recist).reshape(4, 2) + 0.5  # pixel centres to voxel edges
    x1, y1 = (float(value) for value in ends.min(axis=0) - TIGHT_BOX_MARGIN_VOXELS)
    x2, y2 = (float(value) for value in ends.max(axis=0) + TIGHT_BOX_MARGIN_VOXELS)
    key = lesion.key_slice
    return Lesion(
        series=series,
        box=(x1, y1, key, x2, y2, key + 1),
        slices=((key, x1, y1, x2, y2),),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        key_slice=key,
    )


def _drawn_completely(series: str, lesion: PhantomLesion) -> Lesion:
    return Lesion(
        series=series,
        box=lesion.box,
        slices=tuple((part.slice_index, *part.box) for part in lesion.slices),
        role=LesionRole.POSITIVE,
        origin=LesionOrigin.ANNOTATION,
        is_tight=True,
    )
