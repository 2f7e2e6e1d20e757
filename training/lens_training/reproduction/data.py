"""What a recipe learns from and is measured on: phantom patients, or the published data sets in one folder.

The folder holds one sub-folder (or link) for each data set, under the name of `DatasetName` or of its download, each in
its published layout (`datasets.published.catalogue.LAYOUTS`).
"""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lens_engine.checkpoint_card import TrainedOn
from lens_engine.errors import ConfigError
from lens_engine.findings import Scope, Split
from lens_engine.io.annotations.manual_test_set import read_pickle
from lens_engine.phantom.patient import DATASETS as PHANTOM_DATASETS
from lens_engine.phantom.patient import GENERATOR_VERSION
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.phantoms import PhantomRecipe, held_out_cases, training_cases, validation_cases
from lens_training.datasets.published import luna16
from lens_training.datasets.published.catalogue import (
    LAYOUTS,
    PUBLISHED_COUNTS,
    dataset_folder,
    manual_test_cases,
    read_dataset,
)
from lens_training.datasets.published.luna16 import Mark
from lens_training.datasets.published.manual_test_set import find_manual_file
from lens_training.datasets.published.reading import DatasetName, Effect, Oddity, Reading
from lens_training.errors import DatasetError
from lens_training.recipes.recipe import MeasuredPart, Recipe
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

logger = logging.getLogger(__name__)

PHANTOM = "phantom"
"""What `--data` is called for phantom patients."""

EXPERT_OF_PHANTOMS = dict(zip(DatasetName, PHANTOM_DATASETS, strict=True))
"""The phantoms that take the place of each published data set."""

_LACKING = (
    Oddity.MISSING_SCAN,
    Oddity.MISSING_IMAGE,
    Oddity.MISSING_MASK,
    Oddity.DUPLICATE,
    Oddity.BROKEN_FILE,
    Oddity.OTHER_SHAPE,
)
"""What is told before a training where it was skipped."""

_PHANTOMS_OF_PART = {MeasuredPart.VAL: validation_cases, MeasuredPart.TEST: held_out_cases}


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredGroup:
    """Cases that are measured together.

    Attributes
    ----------
    cases
        Completely annotated in 3D, unless `is_key_slices`.
    part
        Whether they are there to choose by, or to be read once.
    expert
        The expert whose data set this is; None where all experts and their fusion are measured.
    left_out
        Cases that belong to the group and cannot be measured, by reason.
    is_key_slices
        Only one slice of each lesion was annotated: measured in 2D on those slices.
    is_around_key_slices
        The same of 3D boxes, from whole sub-volumes.
    published_names
        Of a part of the manual test set: every sub-volume, also those that are left out.
    nodules, excluded
        LUNA16 only: the marks of its own protocol, on the scans of this group.
    """

    name: str
    cases: tuple[Case, ...]
    part: MeasuredPart = MeasuredPart.TEST
    expert: str | None = None
    is_key_slices: bool = False
    is_around_key_slices: bool = False
    published_names: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    nodules: tuple[Mark, ...] = ()
    excluded: tuple[Mark, ...] = ()

    @property
    def folder_name(self) -> str:
        """The name, as that of a folder."""
        return self.name.replace(",", "").replace(" ", "-")

    @property
    def digest(self) -> str:
        """Equal for equal cases with equal truth."""
        return fingerprint(self.name, *(_described(case) for case in self.cases))


@dataclass(frozen=True, slots=True, eq=False)
class RecipeData:
    """All that a recipe needs to know of its data.

    Attributes
    ----------
    groups
        What to measure on; the first one of a part is what the published row is about. A part of the manual test set is
        here also where nothing of it can be used.
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

    def groups_of(self, part: MeasuredPart) -> tuple[MeasuredGroup, ...]:
        """Return what belongs to a part.

        Raises
        ------
        ConfigError
            If there is nothing.
        """
        found = tuple(group for group in self.groups if group.part is part and group.cases)
        if not found:
            raise ConfigError(
                f"The data of this run have no part {part}",
                "The manual test set and DL_info.csv of DeepLesion say which cases belong to it",
                f"Measure another part: {', '.join(sorted({group.part for group in self.groups if group.cases}))}",
            )
        return found

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


def measured_part(recipe: Recipe, source: str) -> MeasuredPart:
    """Return what a run of a recipe measures at its end: phantoms are there to be chosen by."""
    return MeasuredPart.VAL if source == PHANTOM else recipe.evaluation.part


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


def data_to_measure(recipe: Recipe, source: str, part: MeasuredPart, log: ProgressLog, stop: StopSignal) -> RecipeData:
    """Return the data of a recipe for whoever trains nothing: no phantom is made to learn from.

    Raises
    ------
    ConfigError, DatasetError, AnnotationFileError, TrainingStoppedError
        As `recipe_data`.
    """
    if source != PHANTOM:
        return _published(recipe, Path(source), log, stop)
    patients = tuple(_PHANTOMS_OF_PART[part](_phantoms_of(recipe)))
    return _of_phantoms(recipe, (), MeasuredGroup("phantoms", patients, part))


def data_to_export(recipe: Recipe, source: str, part: MeasuredPart, log: ProgressLog, stop: StopSignal) -> RecipeData:
    """Return what the manual test set belongs to, of the data of a recipe; no other data set has to be there.

    Raises
    ------
    ConfigError, DatasetError, AnnotationFileError, TrainingStoppedError
        As `recipe_data`.
    """
    universal = tuple(name for name in recipe.datasets if name.scope is Scope.UNIVERSAL)
    return data_to_measure(recipe.model_copy(update={"datasets": universal}), source, part, log, stop)


def _phantoms(recipe: Recipe, log: ProgressLog, stop: StopSignal) -> RecipeData:
    phantoms = _phantoms_of(recipe)
    names = tuple(EXPERT_OF_PHANTOMS[name] for name in recipe.datasets)
    total = sum(phantoms.patients(is_universal=name == PHANTOM_DATASETS[0]) for name in names)
    training = _counted(training_cases(phantoms, names), total * phantoms.studies, log, stop)
    measured = MeasuredGroup("phantoms", tuple(validation_cases(phantoms)), MeasuredPart.VAL)
    return _of_phantoms(recipe, training, measured)


def _phantoms_of(recipe: Recipe) -> PhantomRecipe:
    if recipe.phantoms is None:
        raise ConfigError(
            f"Recipe {recipe.name} brings no phantoms",
            "A recipe with a section 'phantoms' makes its own data",
            f"Give the folder of the data sets with --data, or train on a snapshot: fit --recipe {recipe.name}",
        )
    return recipe.phantoms


def _of_phantoms(recipe: Recipe, training: tuple[Case, ...], measured: MeasuredGroup) -> RecipeData:
    scopes = {EXPERT_OF_PHANTOMS[name]: name.scope for name in recipe.datasets}
    return RecipeData(
        training_set=TrainingSet(training, scopes, uses_unlabelled=False),
        groups=(measured,),
        trained_on=TrainedOn.PHANTOMS,
        digest=fingerprint(GENERATOR_VERSION, tuple(scopes), _phantoms_of(recipe).model_dump(mode="json")),
    )


def _counted(cases: Iterable[Case], total: int, log: ProgressLog, stop: StopSignal) -> tuple[Case, ...]:
    made: list[Case] = []
    for case in cases:
        stop.check()
        log.report(Stage.PREPARE, len(made), total)
        made.append(case)
    return tuple(made)


def _published(recipe: Recipe, folder: Path, log: ProgressLog, stop: StopSignal) -> RecipeData:
    found = {name: dataset_folder(folder, name) if folder.is_dir() else None for name in recipe.datasets}
    missing = [name for name, place in found.items() if place is None]
    if missing:
        wanted = "; ".join(f"{name}/ with {LAYOUTS[name]}" for name in missing)
        raise ConfigError(
            f"{folder} has no folder {' and no folder '.join(missing)}",
            f"Recipe {recipe.name} learns from {', '.join(recipe.datasets)}: {wanted}",
            "Link the data sets there under these names or those of their downloads, or use --data phantom",
        )

    def on_progress(done: int, total: int) -> None:
        stop.check()
        log.report(Stage.PREPARE, done, total)

    folders = {name: place for name, place in found.items() if place is not None}
    readings = [read_dataset(name, place, recipe.reading, on_progress) for name, place in folders.items()]
    for reading in readings:
        _say_what_is_missing(reading)
    cases = [case for reading in readings for case in reading.cases]
    training = tuple(case for case in cases if case.split is Split.TRAIN)
    groups = tuple(group for reading in readings for group in _groups(reading, folders[reading.dataset], on_progress))
    return RecipeData(
        training_set=TrainingSet(training, {name: name.scope for name in recipe.datasets}, uses_unlabelled=False),
        groups=(*groups, *_surroundings(groups)) if recipe.evaluation.around_key_slices else groups,
        trained_on=TrainedOn.PATIENTS,
        digest=fingerprint(*(_described(case) for case in training)),
        left_out={
            **{reading.dataset.value: dict(reading.skipped) for reading in readings if reading.skipped},
            **{group.name: dict(group.left_out) for group in groups if group.left_out},
        },
    )


def _say_what_is_missing(reading: Reading) -> None:
    """Tell once what a data set lacks of its publication: training goes on with the rest."""
    found, published = reading.counts.get("subsets"), PUBLISHED_COUNTS[reading.dataset].get("subsets")
    what = [] if found == published else [f"{found:.0f} of {published:.0f} subsets"]
    skipped = [item for item in reading.odd if item.effect is Effect.SKIPPED]
    for oddity in _LACKING:
        odd = [item for item in skipped if item.oddity is oddity]
        what += [f"{len(odd)} x {oddity}, first {odd[0].place} ({odd[0].detail})"] if odd else []
    if what:
        logger.warning("%s is not whole: %s. The training goes on with the rest.", reading.dataset, "; ".join(what))


def _groups(reading: Reading, folder: Path, on_progress: Callable[[int, int], None]) -> Sequence[MeasuredGroup]:
    """Return what a data set can be measured on; the manual test set comes before DeepLesion's key slices."""
    of_split = {split: tuple(case for case in reading.cases if case.split is split) for split in Split}
    if reading.dataset.scope is Scope.SINGLE_TYPE:
        held_out = of_split[Split.TEST]
        return [_held_out_scans(reading.dataset, held_out, folder)] if held_out else []
    groups: list[MeasuredGroup] = []
    manual_file = find_manual_file(folder)
    if manual_file is not None:
        manual, published = manual_test_cases(folder, on_progress), read_pickle(manual_file)
        for part, name in ((MeasuredPart.VAL, "manual validation set"), (MeasuredPart.TEST, "manual test set")):
            complete = tuple(case for case in manual.cases if case.split == part.value)
            names = tuple(item.name for item in published if item.part == part.value)
            left_out = _left_out(names, complete, manual)
            groups.append(MeasuredGroup(name, complete, part, left_out=left_out, published_names=names))
    for part, name in ((MeasuredPart.VAL, "validation"), (MeasuredPart.TEST, "test")):
        drawn_on = of_split[Split(part.value)]
        if drawn_on:
            groups.append(MeasuredGroup(f"key slices of the {name} split", drawn_on, part, is_key_slices=True))
    if not any(group.cases for group in groups):
        raise DatasetError(
            f"{folder} holds neither the manual test set nor cases of the validation or test split",
            "Something to measure on is needed",
            "Check the data set with: lens data check deeplesion FOLDER",
        )
    return groups


def _left_out(names: Collection[str], complete: Collection[Case], manual: Reading) -> Mapping[str, int]:
    """Count the sub-volumes of a part that cannot be measured, by reason."""
    usable = {case.name for case in complete}
    reasons = {item.place: item.oddity.value for item in manual.odd if item.effect is Effect.SKIPPED}
    return Counter(reasons.get(name, Oddity.BROKEN_FILE.value) for name in names if name not in usable)


def _surroundings(groups: Sequence[MeasuredGroup]) -> tuple[MeasuredGroup, ...]:
    """Return the sub-volumes around the key slices of groups."""
    return tuple(
        MeasuredGroup(f"around the {group.name}", group.cases, group.part, is_around_key_slices=True)
        for group in groups
        if group.is_key_slices
    )


def _held_out_scans(dataset: DatasetName, cases: tuple[Case, ...], folder: Path) -> MeasuredGroup:
    name = f"{dataset}, held-out scans"
    if dataset is not DatasetName.LUNA16:
        return MeasuredGroup(name, cases, MeasuredPart.TEST, dataset)
    scans = {case.name for case in cases}
    nodules, excluded = (
        tuple(mark for mark in marks if mark.series_uid in scans)
        for marks in (luna16.nodules(folder), luna16.excluded(folder))
    )
    return MeasuredGroup(name, cases, MeasuredPart.TEST, dataset, nodules=nodules, excluded=excluded)


def _described(case: Case) -> list[object]:
    return [case.name, case.geometry.shape, [lesion.model_dump(mode="json") for lesion in case.lesions]]
