"""What a recipe learns from and is measured on: phantom patients, or the published data sets in one folder.

The folder holds one sub-folder (or link) for each data set, under the names of `DatasetName`, each in its published
layout (`datasets.published.catalogue.LAYOUTS`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lens_engine.checkpoint_card import TrainedOn
from lens_engine.errors import ConfigError
from lens_engine.findings import Scope, Split
from lens_engine.phantom.patient import DATASETS as PHANTOM_DATASETS
from lens_engine.phantom.patient import GENERATOR_VERSION
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.phantoms import training_cases, validation_cases
from lens_training.datasets.published import luna16
from lens_training.datasets.published.catalogue import LAYOUTS, manual_test_cases, read_dataset
from lens_training.datasets.published.luna16 import Mark
from lens_training.datasets.published.manual_test_set import find_manual_file
from lens_training.datasets.published.reading import DatasetName, Reading
from lens_training.errors import DatasetError
from lens_training.recipes.recipe import Recipe
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

PHANTOM = "phantom"
"""What `--data` is called for phantom patients."""

EXPERT_OF_PHANTOMS = dict(zip(DatasetName, PHANTOM_DATASETS, strict=True))
"""The phantoms that take the place of each published data set."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredGroup:
    """Cases that are measured together.

    Attributes
    ----------
    cases
        Completely annotated in 3D, unless `is_key_slices`.
    expert
        The expert whose data set this is; None where all experts and their fusion are measured.
    left_out
        Cases that belong to the group and cannot be measured, by reason.
    is_key_slices
        Only one slice of each lesion was annotated: measured in 2D on those slices.
    nodules, excluded
        LUNA16 only: the marks of its own protocol, on the scans of this group.
    """

    name: str
    cases: tuple[Case, ...]
    expert: str | None = None
    is_key_slices: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    nodules: tuple[Mark, ...] = ()
    excluded: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RecipeData:
    """All that a recipe needs to know of its data.

    Attributes
    ----------
    groups
        What to measure on; the first one is what the published row is about.
    digest
        Equal for equal data.
    left_out
        How much of each data set could not be used, or was left out on purpose, by reason.
    """

    training_set: TrainingSet
    groups: tuple[MeasuredGroup, ...]
    trained_on: TrainedOn
    digest: str
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def experts(self) -> tuple[str, ...]:
        """One for each data set, in the order of the recipe."""
        return tuple(self.training_set.scopes)

    def only(self, experts: Collection[str]) -> "RecipeData":
        """Return what some of the data sets hold, and what can be measured on them."""
        if set(experts) == set(self.experts):
            return self
        known = self.training_set
        scopes = {name: scope for name, scope in known.scopes.items() if name in experts}
        cases = tuple(case for case in known.cases if case.dataset in scopes)
        return RecipeData(
            training_set=TrainingSet(cases, scopes, known.uses_unlabelled),
            groups=tuple(group for group in self.groups if group.expert is None or group.expert in scopes),
            trained_on=self.trained_on,
            digest=fingerprint(self.digest, list(scopes)),
            left_out=self.left_out,
        )


def recipe_data(recipe: Recipe, source: str, log: ProgressLog, stop: StopSignal) -> RecipeData:
    """Make or find the data of a recipe.

    Parameters
    ----------
    source
        `PHANTOM`, or the folder of the published data sets.

    Raises
    ------
    ConfigError
        If the recipe brings no phantoms, or the folder lacks a data set.
    DatasetError, AnnotationFileError
        If a data set is not as published.
    TrainingStoppedError
        If the process was asked to end.
    """
    if source == PHANTOM:
        return _phantoms(recipe, log, stop)
    return _published(recipe, Path(source), log, stop)


def _phantoms(recipe: Recipe, log: ProgressLog, stop: StopSignal) -> RecipeData:
    if recipe.phantoms is None:
        raise ConfigError(
            f"Recipe {recipe.name} brings no phantoms",
            "A recipe with a section 'phantoms' makes its own data",
            f"Give the folder of the data sets with --data, or train on a snapshot: fit --recipe {recipe.name}",
        )
    names = tuple(EXPERT_OF_PHANTOMS[name] for name in recipe.datasets)
    total = sum(recipe.phantoms.patients(is_universal=name == PHANTOM_DATASETS[0]) for name in names)
    training = _counted(training_cases(recipe.phantoms, names), total * recipe.phantoms.studies, log, stop)
    measured = tuple(validation_cases(recipe.phantoms))
    scopes = {EXPERT_OF_PHANTOMS[name]: name.scope for name in recipe.datasets}
    return RecipeData(
        training_set=TrainingSet(training, scopes, uses_unlabelled=False),
        groups=(MeasuredGroup("phantoms", measured),),
        trained_on=TrainedOn.PHANTOMS,
        digest=fingerprint(GENERATOR_VERSION, names, recipe.phantoms.model_dump(mode="json")),
    )


def _counted(cases: Iterable[Case], total: int, log: ProgressLog, stop: StopSignal) -> tuple[Case, ...]:
    made: list[Case] = []
    for case in cases:
        stop.check()
        log.report(Stage.PREPARE, len(made), total)
        made.append(case)
    return tuple(made)


def _published(recipe: Recipe, folder: Path, log: ProgressLog, stop: StopSignal) -> RecipeData:
    missing = [name for name in recipe.datasets if not (folder / name).is_dir()]
    if missing:
        wanted = "; ".join(f"{name}/ with {LAYOUTS[name]}" for name in missing)
        raise ConfigError(
            f"{folder} has no folder {' and no folder '.join(missing)}",
            f"Recipe {recipe.name} learns from {', '.join(recipe.datasets)}: {wanted}",
            "Link the data sets there under these names, or use --data phantom",
        )

    def on_progress(done: int, total: int) -> None:
        stop.check()
        log.report(Stage.PREPARE, done, total)

    readings = [read_dataset(name, folder / name, recipe.reading, on_progress) for name in recipe.datasets]
    cases = [case for reading in readings for case in reading.cases]
    training = tuple(case for case in cases if case.split is Split.TRAIN)
    groups = tuple(group for reading in readings for group in _groups(reading, folder / reading.dataset, on_progress))
    return RecipeData(
        training_set=TrainingSet(training, {name: name.scope for name in recipe.datasets}, uses_unlabelled=False),
        groups=groups,
        trained_on=TrainedOn.PATIENTS,
        digest=fingerprint(*(_described(case) for case in training)),
        left_out={
            **{reading.dataset.value: dict(reading.skipped) for reading in readings if reading.skipped},
            **{group.name: dict(group.left_out) for group in groups if group.left_out},
        },
    )


def _groups(reading: Reading, folder: Path, on_progress: Callable[[int, int], None]) -> Sequence[MeasuredGroup]:
    """Return what a data set can be measured on; the manual test set comes before DeepLesion's key slices."""
    held_out = tuple(case for case in reading.cases if case.split is Split.TEST)
    if reading.dataset.scope is Scope.SINGLE_TYPE:
        return [_held_out_scans(reading.dataset, held_out, folder)] if held_out else []
    groups = []
    if find_manual_file(folder) is not None:
        manual = manual_test_cases(folder, on_progress)
        complete = tuple(case for case in manual.cases if case.split is Split.TEST)
        groups.append(MeasuredGroup("manual test set", complete, left_out=manual.skipped))
    if held_out:
        groups.append(MeasuredGroup("key slices of the test split", held_out, is_key_slices=True))
    if not groups:
        raise DatasetError(
            f"{folder} holds neither the manual test set nor cases of the test split",
            "Something to measure on is needed",
            "Check the data set with: lens data check deeplesion FOLDER",
        )
    return groups


def _held_out_scans(dataset: DatasetName, cases: tuple[Case, ...], folder: Path) -> MeasuredGroup:
    name = f"{dataset}, held-out scans"
    if dataset is not DatasetName.LUNA16:
        return MeasuredGroup(name, cases, dataset)
    scans = {case.name for case in cases}
    nodules, excluded = (
        tuple(mark for mark in marks if mark.series_uid in scans)
        for marks in (luna16.nodules(folder), luna16.excluded(folder))
    )
    return MeasuredGroup(name, cases, dataset, nodules=nodules, excluded=excluded)


def _described(case: Case) -> list[object]:
    return [case.name, case.geometry.shape, [lesion.model_dump(mode="json") for lesion in case.lesions]]
