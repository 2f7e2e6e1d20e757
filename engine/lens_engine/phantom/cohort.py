"""A folder of phantom patients in four data sets, with the annotations a project would have and the truth apart.

universal/rawdata/train/000001_01_01/*.dcm  one folder, or one NIfTI file, a series; also val/ and test/
universal/annotations/DL_info.csv           RECIST marks on key slices; a share of the lesions has none
lung/rawdata/…  lung/annotations/000011_01_01.nii.gz      instances of every lesion of the data set's type
liver/…  lymph-node/…
truth/manual_truth.pkl  truth/truth.json    everything; no part of a project
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from lens_engine.errors import ExportError
from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import FILE_NAME
from lens_engine.phantom.patient import (
    DATASETS,
    DEFAULT_SETTINGS,
    DEMO_SEEDS,
    TEST_SEEDS,
    UNIVERSAL,
    VAL_SEEDS,
    PhantomPatient,
    PhantomSeries,
    PhantomSettings,
    make_patient,
)
from lens_engine.phantom.write_dicom import write_dicom_series
from lens_engine.phantom.write_nifti import write_instance_mask, write_nifti_series
from lens_engine.phantom.write_tables import (
    TrueSeries,
    series_name,
    without_voxels,
    write_deeplesion_csv,
    write_manual_test_set,
    write_truth,
)

PatientProgress = Callable[[int, int, str], None]
"""Called with series done, series in all, and the name of the one just written."""


@dataclass(frozen=True, slots=True)
class PlannedPatient:
    """One patient of a cohort; `is_nifti` writes NIfTI files instead of DICOM folders."""

    number: int
    seed: int
    dataset: str
    split: Split
    studies: int = 1
    series_per_study: int = 1
    is_nifti: bool = False


@dataclass(frozen=True, slots=True)
class CohortPlan:
    """Which patients to make, and how they are scanned."""

    patients: tuple[PlannedPatient, ...]
    settings: PhantomSettings = field(default_factory=PhantomSettings)

    @property
    def series_count(self) -> int:
        """How many series will be written."""
        return sum(patient.studies * patient.series_per_study for patient in self.patients)


@dataclass(frozen=True, slots=True)
class CohortReport:
    """What was written.

    Attributes
    ----------
    series
        All scans without voxels, in the order of writing.
    annotation_files
        Files to import, by data set.
    """

    folder: Path
    series: tuple[TrueSeries, ...]
    annotation_files: dict[str, tuple[Path, ...]]
    manual_truth_file: Path
    truth_file: Path

    def rawdata_folder(self, dataset: str, split: Split) -> Path:
        """Return the folder with the scans of a data set that belong to one split; it may not exist."""
        return self.folder / folder_name(dataset) / "rawdata" / split.value

    @property
    def lesion_count(self) -> int:
        """Lesions in all series, counted in each."""
        return sum(len(series.lesions) for series in self.series)

    @property
    def labelled_count(self) -> int:
        """Lesions that the annotations show, counted in each series."""
        return sum(lesion.is_labelled for series in self.series for lesion in series.lesions)


def folder_name(dataset: str) -> str:
    """Return the folder of a data set: its name without spaces."""
    return dataset.replace(" ", "-")


def plan_demo(settings: PhantomSettings = DEFAULT_SETTINGS, test_patients: int = 6) -> CohortPlan:
    """Plan the demo project: about 30 series.

    Six universal patients to mine and train on, two to validate, `test_patients` that nothing was tuned on, and two of
    each single-type data set.
    """
    patients: list[PlannedPatient] = []

    def add(count: int, seeds: range, dataset: str, split: Split, studies: int) -> None:
        for index in range(count):
            number = len(patients) + 1
            patients.append(
                PlannedPatient(
                    number=number,
                    seed=seeds[index],
                    dataset=dataset,
                    split=split,
                    studies=studies,
                    series_per_study=2 if split is Split.TRAIN and index == 0 else 1,
                    is_nifti=index % 4 == 3 or (dataset != UNIVERSAL and index == 1),
                )
            )

    add(6, DEMO_SEEDS, UNIVERSAL, Split.TRAIN, 2)
    add(2, VAL_SEEDS, UNIVERSAL, Split.VAL, 1)
    add(test_patients, TEST_SEEDS, UNIVERSAL, Split.TEST, 1)
    for dataset in DATASETS[1:]:
        add(2, DEMO_SEEDS, dataset, Split.TRAIN, 1)
    return CohortPlan(tuple(patients), settings)


def make_planned_patient(planned: PlannedPatient, settings: PhantomSettings) -> PhantomPatient:
    """Make one patient of a plan in memory."""
    own = replace(settings, studies=planned.studies, series_per_study=planned.series_per_study)
    return replace(make_patient(planned.seed, planned.dataset, own), number=planned.number)


def write_cohort(folder: Path, plan: CohortPlan, on_progress: PatientProgress | None = None) -> CohortReport:
    """Write scans, annotations and truth of all planned patients.

    Raises
    ------
    ExportError
        If two patients share a number, `folder` is not empty, or the disk refuses.
    """
    _check(folder, plan)
    scans: list[TrueSeries] = []
    try:
        for scan in _write_scans(folder, plan):
            scans.append(scan)
            if on_progress is not None:
                on_progress(len(scans), plan.series_count, scan.name)
        return _write_tables(folder, scans)
    except OSError as error:
        raise ExportError(
            f"Writing the phantom patients to {folder} failed after {len(scans)} series: {error.strerror or error}",
            "About 10 MB for each series and the right to write there are needed",
            "Free some space or choose another folder, delete what is there, and start again",
        ) from error


def _check(folder: Path, plan: CohortPlan) -> None:
    numbers = [patient.number for patient in plan.patients]
    doubles = sorted({number for number in numbers if numbers.count(number) > 1})
    if doubles:
        raise ExportError(
            f"The plan has several patients with the numbers {doubles}",
            "Each number may occur once",
            "Correct the plan",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(
            f"{folder} is not an empty folder", "Phantoms are written to a new folder", "Choose another one"
        )


def _write_scans(folder: Path, plan: CohortPlan) -> Iterator[TrueSeries]:
    for planned in plan.patients:
        patient = make_planned_patient(planned, plan.settings)
        for series in patient.series:
            name = series_name(patient.number, series.study_number, series.series_number)
            path = _write_scan(folder / folder_name(patient.dataset), name, planned, patient, series)
            yield without_voxels(name, patient, series, planned.split, path.relative_to(folder).as_posix())


def _write_scan(home: Path, name: str, planned: PlannedPatient, patient: PhantomPatient, series: PhantomSeries) -> Path:
    if patient.dataset != UNIVERSAL:
        write_instance_mask(home / "annotations" / f"{name}.nii.gz", series)
    if planned.is_nifti:
        path = home / "rawdata" / planned.split.value / f"{name}.nii.gz"
        write_nifti_series(path, series)
    else:
        path = home / "rawdata" / planned.split.value / name
        write_dicom_series(path, patient, series)
    return path


def _write_tables(folder: Path, scans: list[TrueSeries]) -> CohortReport:
    annotation_files: dict[str, tuple[Path, ...]] = {}
    for dataset in dict.fromkeys(scan.dataset for scan in scans):
        own = [scan for scan in scans if scan.dataset == dataset]
        home = folder / folder_name(dataset) / "annotations"
        if dataset == UNIVERSAL:
            write_deeplesion_csv(home / FILE_NAME, own)
            annotation_files[dataset] = (home / FILE_NAME,)
        else:
            annotation_files[dataset] = tuple(home / f"{scan.name}.nii.gz" for scan in own)
    manual, truth = folder / "truth" / "manual_truth.pkl", folder / "truth" / "truth.json"
    write_manual_test_set(manual, scans)
    write_truth(truth, scans)
    return CohortReport(folder, tuple(scans), annotation_files, manual, truth)
