"""Phantom patients made in memory, labelled the way their data sets are (nothing touches the disk)."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lens_engine.findings import Split
from lens_engine.phantom.patient import (
    DATASETS,
    TEST_SEEDS,
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
from lens_training.datasets.case import Case, LesionFacts
from lens_training.datasets.labels import TIGHT_BOX_MARGIN_VOXELS


class PhantomRecipe(BaseModel):
    """Phantom patients to learn from, to choose by and to measure on, each with seeds of their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    universal_patients: int = Field(ge=1)
    """Training patients of the universal data set."""
    single_type_patients: int = Field(ge=1)
    """Training patients of each single-type data set."""
    val_patients: int = Field(ge=1)
    """Patients of the universal data set, with their complete truth, and as many test patients."""
    studies: int = Field(default=1, ge=1)
    """Scans of each patient, months apart."""
    slice_spacings_mm: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(4.0,), min_length=1)
    """Patients take turns with these."""
    withheld_share: float = Field(default=0.4, ge=0, lt=1)
    """Share of the lesions of the universal data set that nobody marked."""

    def patients(self, *, is_universal: bool) -> int:
        """Return how many training patients a data set has."""
        return self.universal_patients if is_universal else self.single_type_patients


def training_cases(recipe: PhantomRecipe, datasets: Sequence[str] = DATASETS) -> Iterator[Case]:
    """Make the scans of the training patients, those of one patient after another, with the labels they have."""
    for dataset in datasets:
        for number in range(recipe.patients(is_universal=dataset == UNIVERSAL)):
            patient = make_patient(TRAIN_SEEDS[number], dataset, _settings(recipe, number))
            label = _marked_on_key_slice if dataset == UNIVERSAL else _drawn_completely
            for series in patient.series:
                yield _case(patient, series, Split.TRAIN, label, [part for part in series.lesions if part.is_labelled])


def validation_cases(recipe: PhantomRecipe) -> Iterator[Case]:
    """Make the scans of the validation patients, with their complete truth."""
    return _complete_cases(recipe, VAL_SEEDS, Split.VAL)


def held_out_cases(recipe: PhantomRecipe) -> Iterator[Case]:
    """Make the scans of as many test patients, with their complete truth."""
    return _complete_cases(recipe, TEST_SEEDS, Split.TEST)


def _complete_cases(recipe: PhantomRecipe, seeds: range, split: Split) -> Iterator[Case]:
    for number in range(recipe.val_patients):
        patient = make_patient(seeds[number], UNIVERSAL, _settings(recipe, number))
        for series in patient.series:
            yield _case(patient, series, split, _drawn_completely, series.lesions)


def _settings(recipe: PhantomRecipe, number: int) -> PhantomSettings:
    return PhantomSettings(
        slice_spacing_mm=recipe.slice_spacings_mm[number % len(recipe.slice_spacings_mm)],
        studies=recipe.studies,
        withheld_share=recipe.withheld_share,
    )


def _name(patient: PhantomPatient, series: PhantomSeries) -> str:
    return f"{patient.dataset}-{patient.seed}-{series.study_number}-{series.series_number}"


def _case(
    patient: PhantomPatient,
    series: PhantomSeries,
    split: Split,
    label: Callable[[str, PhantomLesion], Lesion],
    lesions: Sequence[PhantomLesion],
) -> Case:
    name = _name(patient, series)
    volume = series.volume
    return Case(
        name=name,
        patient=str(patient.seed),
        dataset=patient.dataset,
        split=split,
        geometry=volume.geometry,
        lesions=tuple(label(name, lesion) for lesion in lesions),
        load=partial(_same, volume),  # a lambda could not be sent to a worker process
        facts=tuple(LesionFacts(lesion.lesion_type, _mean_diameter_mm(lesion, volume)) for lesion in lesions),
    )


def _same(volume: Volume) -> Volume:
    return volume


def _mean_diameter_mm(lesion: PhantomLesion, volume: Volume) -> float:
    ends_mm = np.asarray(lesion.recist).reshape(4, 2) * volume.geometry.spacing_mm[:0:-1]
    return float(np.linalg.norm(ends_mm[1::2] - ends_mm[::2], axis=1).mean())


def _marked_on_key_slice(series: str, lesion: PhantomLesion) -> Lesion:
    """Label a lesion as DeepLesion does: the box around its RECIST marks with a margin, on one slice.

    See algorithms 1.4.
    """
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
