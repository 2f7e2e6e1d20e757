"""One phantom patient: anatomy, lesions, studies and series, all from one seed."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import ConfigError
from lens_engine.findings import Box3D, SliceBox
from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.acquisition import Kernel, acquire
from lens_engine.phantom.anatomy import HIGHEST_LEVEL_MM, LOWEST_LEVEL_MM, Anatomy, draw_anatomy
from lens_engine.phantom.lesions import (
    LesionPlan,
    LesionType,
    draw_diameters,
    draw_lesion,
    draw_look_alikes,
    filled_voxels,
)
from lens_engine.phantom.marks import RecistMarks, measure
from lens_engine.phantom.rendering import paint_anatomy
from lens_engine.phantom.shapes import Canvas
from lens_engine.phantom.tissues import Phase
from lens_engine.volume import Volume

GENERATOR_VERSION = 1
"""Raised whenever a seed would give other voxels or other lesions."""

UNIVERSAL = "universal"
DATASETS: tuple[str, ...] = (UNIVERSAL, "lung", "liver", "lymph node")
"""The four data sets, in the order of the experts."""

TRAIN_SEEDS = range(1_000, 2_000)
"""Patients the shipped checkpoint may be trained on."""
VAL_SEEDS = range(2_000, 3_000)
"""Patients that choices (thresholds, recipes) may be tuned on."""
DEMO_SEEDS = range(3_000, 4_000)
"""Patients of the demo project's training and validation splits."""
TEST_SEEDS = range(9_000, 10_000)
"""Patients that nothing was tuned on; for reported figures only."""

LEAST_COVERAGE_MM = 80.0
"""Scans that are shorter may lie where no type of lesion has room."""

Recist = tuple[float, float, float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class PhantomSettings:
    """What kind of scans to make.

    Attributes
    ----------
    size
        Pixels along each side of a slice.
    withheld_share
        Share of the lesions of a universal data set that are left without a mark.
    """

    size: int = 256
    field_of_view_mm: float = 350.0
    slice_spacing_mm: float = 4.0
    coverage_mm: float = 280.0
    studies: int = 2
    series_per_study: int = 1
    withheld_share: float = 0.4

    def __post_init__(self) -> None:
        if self.size < 32 or not 200 <= self.field_of_view_mm <= 600:
            raise ConfigError(
                f"A slice of {self.size} pixels over {self.field_of_view_mm} mm was asked for",
                "At least 32 pixels over 200 to 600 mm are needed",
                "Change size or field_of_view_mm",
            )
        if not 0.5 <= self.slice_spacing_mm <= 10 or not self.coverage_mm >= LEAST_COVERAGE_MM:
            raise ConfigError(
                f"Slices every {self.slice_spacing_mm} mm over {self.coverage_mm} mm were asked for",
                f"0.5 to 10 mm over at least {LEAST_COVERAGE_MM:g} mm are needed",
                "Change slice_spacing_mm or coverage_mm",
            )
        if self.studies < 1 or self.series_per_study < 1 or not 0 <= self.withheld_share < 1:
            raise ConfigError(
                f"{self.studies} studies of {self.series_per_study} series asked for, {self.withheld_share} withheld",
                "At least one of each and a share in [0, 1) are needed",
                "Change the settings",
            )


DEFAULT_SETTINGS = PhantomSettings()


@dataclass(frozen=True, slots=True)
class PhantomLesion:
    """One lesion as it appears in one series.

    Attributes
    ----------
    key
        The same in all series of a patient.
    lesion_type
        'lung', 'liver', 'lymph node', 'bone', 'kidney' or 'soft tissue'.
    box
        Tight; half-open canonical voxel edges.
    slices
        Tight cross-sections, ascending, one for each slice of `box`.
    recist
        x11, y11, x12, y12, x21, y21, x22, y22: long, then short diameter on `key_slice`; 0-based pixel centres.
    diameter_mm
        The long diameter.
    is_labelled
        Whether the data set's annotations show it.
    """

    key: str
    lesion_type: str
    box: Box3D
    slices: tuple[SliceBox, ...]
    recist: Recist
    key_slice: int
    diameter_mm: float
    is_labelled: bool


@dataclass(frozen=True, slots=True, eq=False)
class PhantomSeries:
    """One scan with everything that is in it.

    Attributes
    ----------
    lesions
        The complete truth.
    instances
        uint8 `[z, y, x]`: i + 1 where `lesions[i]` fills more than half of the voxel, else 0.
    """

    volume: Volume
    lesions: tuple[PhantomLesion, ...]
    instances: NDArray[np.uint8]
    study_number: int
    series_number: int
    kernel: Kernel
    phase: Phase
    study_date: date


@dataclass(frozen=True, slots=True, eq=False)
class PhantomPatient:
    """A patient of one data set; `number` is the seed unless a cohort renumbers."""

    number: int
    dataset: str
    seed: int
    sex: str
    age: int
    series: tuple[PhantomSeries, ...]


@dataclass(frozen=True, slots=True)
class PatientBody:
    """What is inside a patient, before any scan."""

    anatomy: Anatomy
    lesions: tuple[LesionPlan, ...]
    look_alikes: tuple[LesionPlan, ...]
    first_level_mm: float
    """Level at which the first study starts, in the body frame."""


@dataclass(frozen=True, slots=True)
class Scan:
    """How one series is taken.

    Attributes
    ----------
    shift_mm
        Where the patient lies: LPS offset of the body frame's x and y, and how much lower the scan starts.
    labelled
        Keys of the lesions that the annotations show.
    """

    study_number: int
    series_number: int
    kernel: Kernel
    phase: Phase
    study_date: date
    shift_mm: tuple[float, float, float]
    noise_seed: int
    labelled: frozenset[str]


def make_patient(seed: int, dataset: str, settings: PhantomSettings = DEFAULT_SETTINGS) -> PhantomPatient:
    """Make a patient; the same arguments give the same voxels and lesions.

    Raises
    ------
    ConfigError
        If `dataset` is none of `DATASETS`.
    """
    if dataset not in DATASETS:
        raise ConfigError(
            f"Data set {dataset!r} was asked for", f"One of {', '.join(DATASETS)} is needed", "Choose one"
        )
    body = draw_body(seed, dataset, settings)
    series = tuple(make_series(body, scan, settings) for scan in draw_scans(body, seed, dataset, settings))
    rng = _stream(seed, dataset, 3)
    return PhantomPatient(
        number=seed,
        dataset=dataset,
        seed=seed,
        sex="F" if rng.random() < 0.5 else "M",
        age=int(rng.integers(35, 86)),
        series=series,
    )


def draw_body(seed: int, dataset: str, settings: PhantomSettings) -> PatientBody:
    """Draw the anatomy, the lesions in all studies and the look-alikes of a patient."""
    anatomy = draw_anatomy(_stream(seed, dataset, 0))
    rng = _stream(seed, dataset, 1)
    coverage = settings.coverage_mm / anatomy.scale
    first = _first_level(rng, dataset, coverage)
    span = (max(first, LOWEST_LEVEL_MM) + 14, min(first + coverage, HIGHEST_LEVEL_MM) - 18)
    lesions: list[LesionPlan] = []
    for lesion_type in _wanted_types(rng, dataset, span):
        diameters = draw_diameters(rng, settings.studies, lesion_type)
        lesion = draw_lesion(rng, anatomy, lesion_type, span, lesions, diameters)
        if lesion is not None:
            lesions.append(lesion)
    look_alikes = draw_look_alikes(rng, anatomy, span, lesions, settings.studies)
    return PatientBody(anatomy, tuple(lesions), look_alikes, first)


def draw_scans(body: PatientBody, seed: int, dataset: str, settings: PhantomSettings) -> list[Scan]:
    """Draw when and how a patient is scanned, and which lesions a reader marked."""
    rng = _stream(seed, dataset, 2)
    scans = []
    day = date(2015, 1, 1) + timedelta(days=int(rng.integers(0, 1500)))
    usual = Phase.PORTAL if rng.random() < 0.75 else Phase.NATIVE
    for study in range(1, settings.studies + 1):
        shift = tuple(float(value) for value in rng.uniform(-6, 6, 3))
        for number in range(1, settings.series_per_study + 1):
            kernel = Kernel.SHARP if number % 2 == 0 or (dataset == "lung" and rng.random() < 0.4) else Kernel.SOFT
            phase = usual if number <= 2 else (Phase.ARTERIAL, Phase.NATIVE)[number % 2]
            scans.append(
                Scan(
                    study_number=study,
                    series_number=number,
                    kernel=kernel,
                    phase=phase,
                    study_date=day,
                    shift_mm=(shift[0], shift[1], shift[2]),
                    noise_seed=int(rng.integers(2**62)),
                    labelled=_draw_labelled(rng, body.lesions, dataset, settings.withheld_share),
                )
            )
        day += timedelta(days=int(rng.integers(40, 150)))
    return scans


def make_series(body: PatientBody, scan: Scan, settings: PhantomSettings) -> PhantomSeries:
    """Scan a body once."""
    scale, study = body.anatomy.scale, scan.study_number - 1
    pixel = settings.field_of_view_mm / settings.size
    count = max(round(settings.coverage_mm / settings.slice_spacing_mm), 2)
    dx, dy, dz = scan.shift_mm
    plane = (np.arange(settings.size) - (settings.size - 1) / 2) * pixel
    levels = body.first_level_mm * scale + dz + np.arange(count) * settings.slice_spacing_mm
    canvas = Canvas(*(np.asarray(axis / scale, dtype=np.float32) for axis in (plane - dx, plane - dy, levels)))
    paint_anatomy(canvas, body.anatomy, scan.phase)
    for plan in (*body.look_alikes, *body.lesions):
        plan.paint(canvas, study, scale, scan.phase)
    geometry = VolumeGeometry(
        shape=(count, settings.size, settings.size),
        spacing_mm=(settings.slice_spacing_mm, pixel, pixel),
        origin_mm=(float(plane[0]), float(plane[0]) - 20.0, round(-float(levels[0]), 3)),
    )
    voxels = acquire(canvas.hu, scan.kernel, settings.slice_spacing_mm, np.random.default_rng(scan.noise_seed))
    instances = np.zeros(geometry.shape, dtype=np.uint8)
    lesions: list[PhantomLesion] = []
    for plan in body.lesions:
        filled = filled_voxels(canvas, plan.shape(study, scale))
        if filled is not None:
            instances[filled[0]][filled[1]] = len(lesions) + 1
            lesions.append(_describe(plan, filled[0], filled[1], pixel, plan.key in scan.labelled))
    return PhantomSeries(
        volume=Volume(voxels, geometry),
        lesions=tuple(lesions),
        instances=instances,
        study_number=scan.study_number,
        series_number=scan.series_number,
        kernel=scan.kernel,
        phase=scan.phase,
        study_date=scan.study_date,
    )


def _stream(seed: int, dataset: str, part: int) -> np.random.Generator:
    """Return an independent source of randomness for one part of a patient."""
    return np.random.default_rng([GENERATOR_VERSION, seed, DATASETS.index(dataset), part])


def _first_level(rng: np.random.Generator, dataset: str, coverage: float) -> float:
    """Draw where the scan starts: where the data set's lesions are."""
    highest = max(HIGHEST_LEVEL_MM - coverage - 6, LOWEST_LEVEL_MM)
    share = {"lung": (0.0, 0.15), "liver": (0.85, 1.0)}.get(dataset, (0.0, 1.0))
    start, end = (LOWEST_LEVEL_MM + part * (highest - LOWEST_LEVEL_MM) for part in share)
    if dataset == "liver":
        start, end = (min(value, 205.0) for value in (start, end))
    return float(rng.uniform(start, end))


_LEVELS_MM: dict[LesionType, tuple[float, float]] = {
    LesionType.LUNG: (10, 250),
    LesionType.LIVER: (215, 350),
    LesionType.LYMPH_NODE: (30, 450),
    LesionType.BONE: (10, 470),
    LesionType.KIDNEY: (320, 410),
    LesionType.SOFT_TISSUE: (10, 470),
}
"""Where each type can be; a type is asked for only where at least 30 mm of it are scanned."""


def _wanted_types(rng: np.random.Generator, dataset: str, span: tuple[float, float]) -> list[LesionType]:
    possible = [kind for kind, (low, high) in _LEVELS_MM.items() if min(high, span[1]) - max(low, span[0]) >= 30]
    weights = np.array([{"lung": 3.0, "liver": 2.5, "lymph node": 3.0}.get(kind.value, 1.2) for kind in possible])
    if dataset == UNIVERSAL:
        chosen = rng.choice(len(possible), int(rng.integers(3, 9)), p=weights / weights.sum())
        return [possible[int(index)] for index in chosen]
    own = LesionType(dataset)
    others = [kind for kind in possible if kind is not own]
    extra = [others[int(index)] for index in rng.integers(0, len(others), int(rng.integers(1, 4)))]
    return [own] * int(rng.integers(2, 7)) + extra


def _draw_labelled(
    rng: np.random.Generator, lesions: tuple[LesionPlan, ...], dataset: str, withheld_share: float
) -> frozenset[str]:
    """Choose which lesions a reader of this data set would have marked in one series."""
    if dataset != UNIVERSAL:
        return frozenset(lesion.key for lesion in lesions if lesion.lesion_type.value == dataset)
    kept = len(lesions) * (1 - withheld_share)
    # Rounded up or down by chance, so that the share holds over many series.
    count = max(int(kept) + int(rng.random() < kept - int(kept)), min(1, len(lesions)))
    order = rng.permutation(len(lesions))[:count]
    return frozenset(lesions[int(index)].key for index in order)


def _describe(
    plan: LesionPlan,
    window: tuple[slice, slice, slice],
    mask: NDArray[np.bool_],
    pixel_mm: float,
    is_labelled: bool,
) -> PhantomLesion:
    """Measure the non-empty `mask` of a lesion, which lies at `window`."""
    z0, y0, x0 = (part.start for part in window)
    slices, areas = [], []
    for index in np.flatnonzero(mask.any(axis=(1, 2))):
        slices.append(SliceBox(int(index) + z0, _slice_box(mask[index], x0, y0)))
        areas.append(int(mask[index].sum()))
    key = int(np.argmax(areas))
    marks: RecistMarks = measure(mask[slices[key].slice_index - z0])
    corners = np.array([part.box for part in slices])
    low, high = corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)
    box = (low[0], low[1], slices[0].slice_index, high[0], high[1], slices[-1].slice_index + 1)
    offset = (x0, y0) * 4
    recist: Any = tuple(float(value + shift) for value, shift in zip(marks.ends, offset, strict=True))
    return PhantomLesion(
        key=plan.key,
        lesion_type=plan.lesion_type.value,
        box=tuple(float(value) for value in box),  # type: ignore[arg-type] # six
        slices=tuple(slices),
        recist=recist,
        key_slice=slices[key].slice_index,
        diameter_mm=marks.long_pixels * pixel_mm,
        is_labelled=is_labelled,
    )


def _slice_box(mask: NDArray[np.bool_], x0: int, y0: int) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0] + x0), float(rows[0] + y0), float(columns[-1] + 1 + x0), float(rows[-1] + 1 + y0)
