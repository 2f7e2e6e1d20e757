"""Does a folder hold a data set as published? Counts beside the published ones, and every file and row that is odd."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from lens_engine.errors import LensError
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.io.tables import write_text_table
from lens_engine.progress import ProgressCallback
from lens_engine.volume import Volume
from lens_training.datasets.label_voxels import (
    AXES,
    LabelLook,
    LabelValue,
    axes_in_words,
    label_looks,
    suspicion,
    votes_for,
)
from lens_training.datasets.published.catalogue import PUBLISHED_COUNTS, read_dataset
from lens_training.datasets.published.manual_test_set import PUBLISHED as PUBLISHED_MANUAL
from lens_training.datasets.published.manual_test_set import find_manual_file, manual_test_cases
from lens_training.datasets.published.reading import (
    DEFAULT_OPTIONS,
    DatasetName,
    Effect,
    OddFile,
    Oddity,
    Reading,
    ReadingOptions,
)
from lens_training.errors import DatasetError

MANUAL_TITLE = "manual test set"
BONE_ABOVE_HU = 300
TISSUE_ABOVE_HU = -300

_ROUNDING = 1000
"""A published count that is a multiple of this was rounded to it."""


@dataclass(frozen=True, slots=True)
class CountLine:
    """One count beside the published one; None where nothing was published, or where it was not found."""

    what: str
    found: float | None
    published: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether both are the same, as far as the published one is exact; None where one of them is missing."""
        if self.found is None or self.published is None:
            return None
        tolerance = _ROUNDING / 2 if self.published >= _ROUNDING and self.published % _ROUNDING == 0 else 0
        return abs(self.found - self.published) <= tolerance


@dataclass(frozen=True, slots=True)
class Section:
    """A data set, or the manual test set that lies in its folder.

    Attributes
    ----------
    looks
        At each label whose type is known, where voxels were read.
    """

    title: str
    reading: Reading
    published: Mapping[str, float]
    looks: tuple[LabelLook, ...] = ()

    @property
    def lines(self) -> tuple[CountLine, ...]:
        """Every count, the published ones first."""
        found = self.reading.counts
        names = [*self.published, *(name for name in found if name not in self.published)]
        return tuple(CountLine(name, found.get(name), self.published.get(name)) for name in names)


@dataclass(frozen=True, slots=True)
class CheckReport:
    """All that was found in a folder.

    Attributes
    ----------
    absent
        Why the data set itself has no section although the manual test set has one; empty otherwise.
    """

    dataset: DatasetName
    folder: Path
    sections: tuple[Section, ...]
    absent: str = ""

    @property
    def odd(self) -> tuple[OddFile, ...]:
        """Every odd file and row."""
        return tuple(item for section in self.sections for item in section.reading.odd)

    @property
    def usable_cases(self) -> int:
        """How many scans can be used."""
        return sum(len(section.reading.cases) for section in self.sections)

    @property
    def exit_code(self) -> int:
        """0 if anything can be used, 1 if nothing can."""
        return 0 if self.usable_cases else 1


def check_dataset(
    name: DatasetName,
    folder: Path,
    options: ReadingOptions = DEFAULT_OPTIONS,
    on_progress: ProgressCallback | None = None,
    *,
    reads_voxels: bool = False,
) -> CheckReport:
    """Read a data set and, where it lies with DeepLesion, the manual test set.

    Parameters
    ----------
    reads_voxels
        Load every scan as training would, which finds damaged files and labels on odd voxels, and takes hours for a
        whole data set.

    Raises
    ------
    DatasetError
        If the folder does not hold the data set.
    AnnotationFileError
        If a table is broken.
    """
    sections: list[Section] = []
    absent = ""
    has_manual = name is DatasetName.DEEPLESION and folder.is_dir() and find_manual_file(folder) is not None
    try:
        reading = read_dataset(name, folder, options, on_progress)
        sections.append(Section(name.value, reading, PUBLISHED_COUNTS[name]))
    except DatasetError as error:
        if not has_manual:
            raise
        absent = str(error)
    if has_manual:
        sections.append(Section(MANUAL_TITLE, manual_test_cases(folder, on_progress), PUBLISHED_MANUAL))
    if reads_voxels:
        sections = [_loaded(section, on_progress) for section in sections]
    return CheckReport(name, folder, tuple(sections), absent)


def render(report: CheckReport, odd_limit: int = 20) -> str:
    """Return the report as text, with at most `odd_limit` odd files and rows of each kind."""
    lines = [f"{report.dataset.value} in {report.folder}", *([report.absent] if report.absent else [])]
    for section in report.sections:
        lines += ["", f"{section.title}: {len(section.reading.cases)} usable scans", *_count_table(section)]
        lines += [f"left out: {count} x {reason}" for reason, count in section.reading.skipped.items()]
        lines += [*_value_table(section), *_mirroring_table(section)]
    lines += ["", *_odd_list(report.odd, odd_limit)]
    return "\n".join(lines) + "\n"


def write_odd(report: CheckReport, path: Path) -> None:
    """Write every odd file and row, as JSON or (any other extension) as CSV.

    Raises
    ------
    ExportError
        If the file cannot be written.
    """
    if path.suffix.lower() == ".json":
        write_text_atomically(path, json.dumps([asdict(item) for item in report.odd], indent=1) + "\n")
    else:
        write_text_table(path, [field.name for field in fields(OddFile)], [astuple(item) for item in report.odd])


def _loaded(section: Section, on_progress: ProgressCallback | None) -> Section:
    """Return the section with what loading every case has shown; a case that cannot be loaded is dropped."""
    reading = section.reading
    odd: list[OddFile] = []
    looks: list[LabelLook] = []
    broken: set[str] = set()
    for done, case in enumerate(reading.cases, start=1):
        try:
            volume = case.load()
        except LensError as error:
            odd.append(OddFile(case.name, Oddity.BROKEN_FILE, error.happened, Effect.SKIPPED))
            broken.add(case.name)
        else:
            of_case = label_looks(case, volume) if case.facts else ()
            looks += of_case
            odd += [*_look_at(case.name, volume), *_odd_labels(case.name, of_case), *_mirrored(case.name, of_case)]
        if on_progress is not None:
            on_progress(done, len(reading.cases))
    odd += _mirrored(section.title, looks)
    skipped = Counter(reading.skipped)
    skipped.update(item.oddity.value for item in odd if item.effect is Effect.SKIPPED)
    looked_at = replace(
        reading,
        cases=tuple(case for case in reading.cases if case.name not in broken),
        odd=(*reading.odd, *odd),
        skipped=dict(skipped),
    )
    return replace(section, reading=looked_at, looks=tuple(looks))


def _look_at(name: str, volume: Volume) -> Iterator[OddFile]:
    depths = _middle_of_body_and_bones(volume)
    if depths is None:
        yield OddFile(name, Oddity.ODD_VALUES, "it shows no body, only air", Effect.KEPT)
    elif depths[1] < depths[0]:
        what = "the bones lie in front of the middle of the body: the patient lies prone, or the header is wrong"
        yield OddFile(name, Oddity.ODD_ORIENTATION, what, Effect.KEPT)


def _odd_labels(name: str, looks: Sequence[LabelLook]) -> Iterator[OddFile]:
    """Name a case if most of its labels lie where no such lesion can be, with the axes that would mend all of them."""
    odd = [look.value for look in looks if not look.value.is_plausible]
    if 2 * len(odd) <= len(looks):
        return
    first, (lowest, highest) = odd[0], odd[0].plausible_hu
    what = (
        f"{len(odd)} of {len(looks)} labels, the first ({first.lesion_type or 'unknown type'}) with a median of"
        f" {first.median_hu:.0f} HU where {lowest:.0f} to {highest:.0f} are plausible"
    )
    axes = [
        name
        for axis, name in enumerate(AXES)
        if all((axis,) in look.mirrored and look.mirrored[axis,].is_plausible for look in looks)
    ]
    if axes:
        what += f"; mirrored {' or '.join(axes)}, all would be: the mask may be flipped, or a header wrong"
    yield OddFile(name, Oddity.ODD_LABELS, what, Effect.KEPT)


def _mirrored(place: str, looks: Sequence[LabelLook]) -> Iterator[OddFile]:
    """Name a case or a whole data set if its labels would look more like lesions mirrored."""
    suspected = suspicion(votes_for(looks))
    if suspected is not None:
        what = f"{suspected}: masks may be flipped, or headers wrong"
        yield OddFile(place, Oddity.MIRRORED_LABELS, what, Effect.KEPT)


def _middle_of_body_and_bones(volume: Volume) -> tuple[float, float] | None:
    """Return how far back the body and its bones lie on average, in voxels; None without a body."""
    body = np.zeros(volume.voxels.shape[1], dtype=np.int64)
    bones = np.zeros_like(body)
    for plane in volume.voxels:
        body += np.count_nonzero(plane > TISSUE_ABOVE_HU, axis=1)
        bones += np.count_nonzero(plane > BONE_ABOVE_HU, axis=1)
    if not body.any():
        return None
    places = np.arange(len(body))
    middle = float(np.average(places, weights=body))
    return middle, float(np.average(places, weights=bones)) if bones.any() else middle


def _count_table(section: Section) -> list[str]:
    lines = section.lines
    width = max(len(line.what) for line in lines)
    table = [f"  {'':{width}}  {'found':>10}  {'published':>10}"]
    for line in lines:
        mark = {True: "", False: "  differs", None: ""}[line.agrees]
        table.append(f"  {line.what:{width}}  {_number(line.found):>10}  {_number(line.published):>10}{mark}")
    return table


def _value_table(section: Section) -> list[str]:
    """Return the median HU inside the labels of each type, as the median and the middle 90 % of them."""
    by_type: dict[str | None, list[LabelValue]] = {}
    for look in section.looks:
        by_type.setdefault(look.value.lesion_type, []).append(look.value)
    lines = ["median HU inside the labels:"] if by_type else []
    for kind, values in sorted(by_type.items(), key=lambda item: item[0] or ""):
        low, middle, high = np.nanquantile([value.median_hu for value in values], (0.05, 0.5, 0.95))
        lowest, highest = values[0].plausible_hu
        odd = sum(not value.is_plausible for value in values)
        lines.append(
            f"  {kind or 'unknown type'}: {middle:.0f} (5 to 95 %: {low:.0f} to {high:.0f}) in {len(values)} labels,"
            f" {odd} outside the plausible {lowest:.0f} to {highest:.0f}"
        )
    return lines


def _mirroring_table(section: Section) -> list[str]:
    """Return how many labels would look more like lesions if all masks were mirrored along one axis."""
    votes = [vote for vote in votes_for(section.looks) if len(vote.axes) == 1 and vote.compared]
    title = ["labels that would look more like lesions if their masks were mirrored:"] if votes else []
    return title + [f"  {axes_in_words(vote.axes)}: {vote.mirrored} of {vote.compared}" for vote in votes]


def _number(count: float | None) -> str:
    return "" if count is None else f"{count:,.0f}"


def _odd_list(odd: tuple[OddFile, ...], limit: int) -> list[str]:
    if not odd:
        return ["Nothing is odd."]
    by_kind: dict[tuple[Oddity, Effect], list[OddFile]] = {}
    for item in odd:
        by_kind.setdefault((item.oddity, item.effect), []).append(item)
    lines = [f"{len(odd)} files and rows are odd."]
    for (oddity, effect), items in by_kind.items():
        lines += ["", f"{len(items)} x {oddity} ({effect}):"]
        lines += [f"  {item.place}: {item.detail}" for item in items[:limit]]
        if len(items) > limit:
            lines.append(f"  ... and {len(items) - limit} more")
    return lines
