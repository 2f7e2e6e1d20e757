"""The detector's findings on the training scans, turned into samples; each scan is kept in a file once it is done."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import EXACT, InferenceDetector, InferenceSettings
from lens_engine.errors import CheckpointError, GeometryError, SeriesError
from lens_engine.findings import FUSED, Box3D, Finding, Scope
from lens_engine.io.atomic_files import replace_bytes
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.errors import TrainingInterruptedError
from lens_training.false_positive_reduction.patch_file import PatchShelf
from lens_training.false_positive_reduction.samples import Meaning, Sample, samples_of
from lens_training.running.progress import Stage
from lens_training.running.runner import Reports

SAMPLES_FILE = "samples.jsonl"

Find = Callable[[Case], Sequence[Finding]]
"""Returns the findings of a case that are judged: those of the fusion, in voxels of the case."""


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """All that can be learnt from the findings.

    Attributes
    ----------
    samples
        All of them, one case after another, each from head to feet.
    counts
        Findings of each meaning, samples of each that teaches, and scans that were used or left out.
    """

    samples: tuple[Sample, ...]
    counts: Mapping[str, int]


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str


class _CaseLine(BaseModel):
    """What one case contributes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: int
    samples: tuple[tuple[Meaning, Box3D], ...]
    findings: dict[Meaning, int]

    def as_samples(self) -> tuple[Sample, ...]:
        """Return its samples, from head to feet."""
        return tuple(Sample(self.case, box, meaning) for meaning, box in self.samples)


def detector_findings(model: LensDetector, min_score: float, settings: InferenceSettings = EXACT) -> Find:
    """Return a function that runs the detector on a case and keeps the fused findings.

    Parameters
    ----------
    model
        The detector, in evaluation mode, on the device where it shall run.
    min_score
        Takes the place of the detector's own threshold, so that its doubtful findings are learnt from as well.
    settings
        How the detector computes: as where its findings will be judged.
    """
    post = model.config.post.model_copy(update={"score_threshold": min_score})
    detector = InferenceDetector(model, settings)

    def find(case: Case) -> Sequence[Finding]:
        found = detect_with(detector, case.load(), post=post).findings
        return [finding for finding in found if finding.expert == FUSED]

    return find


@dataclass(frozen=True, slots=True)
class SamplesFile:
    """The file of a run that has a line for each scan that is done.

    Attributes
    ----------
    fingerprint
        Of the run; a file of another one is refused.
    """

    path: Path
    fingerprint: str

    def begin_with(self, lines: Iterable[_CaseLine]) -> None:
        """Write it anew.

        Raises
        ------
        TrainingInterruptedError
            If the disk refuses.
        """
        texts = [json.dumps({"fingerprint": self.fingerprint}), *(line.model_dump_json() for line in lines)]
        with self._refusals_in_words():
            replace_bytes(self.path, ("\n".join(texts) + "\n").encode())

    def add(self, line: _CaseLine) -> None:
        """Add the line of a scan; raises as `begin_with`."""
        with self._refusals_in_words(), self.path.open("a", encoding="utf-8") as lines:
            lines.write(line.model_dump_json() + "\n")

    def read(self) -> dict[int, _CaseLine]:
        """Return the complete lines by case; a process that was killed may have left half a line at its end.

        Raises
        ------
        CheckpointError
            If it belongs to another run.
        """
        if not self.path.exists():
            return {}
        first, *others = self.path.read_text(encoding="utf-8").splitlines() or [""]
        try:
            header = _Header.model_validate_json(first)
        except ValidationError:
            return {}
        if header.fingerprint != self.fingerprint:
            raise CheckpointError(
                f"{self.path} belongs to another run",
                "The detector, labels, recipe and seed must be those it was started with",
                "Begin the run anew instead of resuming it, or use another folder",
            )
        found: dict[int, _CaseLine] = {}
        for text in others:
            try:
                line = _CaseLine.model_validate_json(text)
            except ValidationError:
                break
            found[line.case] = line
        return found

    @contextmanager
    def _refusals_in_words(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingInterruptedError(
                f"{self.path} cannot be written: {error.strerror or error}",
                "A folder with write permission and enough free space is needed",
                "Free space: the scans that are done stay done",
            ) from error


def collect(
    training_set: TrainingSet,
    find: Find,
    file: SamplesFile,
    shelf: PatchShelf,
    unreadable: UnreadableScans,
    reports: Reports,
) -> Collection:
    """Sort the findings on all scans of universal data sets and cut their patches; each scan is read once.

    Scans that `file` has already are not looked at again. One that cannot be read is named, and done without a sample.

    Findings on single-type data sets teach nothing: lesions of other types are not labelled there.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end; the scans that are done stay in `file`.
    TrainingInterruptedError
        If the disk refuses, or too many scans cannot be read.
    CheckpointError
        If `file` belongs to another run.
    """
    used = [
        number for number, case in enumerate(training_set.cases) if training_set.scopes[case.dataset] is Scope.UNIVERSAL
    ]
    done = file.read()
    for number in used[: len(done)]:
        shelf.remember(number, done[number].as_samples())
    if len(done) < len(used) and not shelf.is_filled:  # somebody has taken the patches away
        shelf.clear()
        done = {}
    file.begin_with(done.values())
    for place, number in enumerate(used):
        reports.stop.check()
        reports.log.report(Stage.PREPARE, place, len(used))
        if number not in done:
            case = training_set.cases[number]
            try:
                done[number] = _collected(case, number, find, shelf)
            except (SeriesError, GeometryError) as error:
                unreadable.add(number, case.name, error)
                done[number] = _CaseLine(case=number, samples=(), findings={})
            file.add(done[number])
    found = [done[number] for number in used]
    collected = tuple(sample for line in found for sample in line.as_samples())
    counts = _counts(found, collected, len(training_set.cases))
    reports.log.report(Stage.PREPARE, len(used), len(used), counts)
    return Collection(collected, counts)


def _collected(case: Case, number: int, find: Find, shelf: PatchShelf) -> _CaseLine:
    """Read a case, look for findings, and cut the patches of those that teach."""
    volume = case.load()
    samples, meanings = samples_of(number, find(replace(case, load=lambda: volume)), case.labels)
    shelf.put(number, volume, samples)
    return _CaseLine(case=number, samples=tuple((sample.meaning, sample.box) for sample in samples), findings=meanings)


def _counts(lines: Sequence[_CaseLine], samples: Sequence[Sample], cases: int) -> dict[str, int]:
    findings: Counter[Meaning] = Counter()
    for line in lines:
        findings.update(line.findings)
    taught = Counter(sample.meaning for sample in samples)
    return {
        **{f"findings: {meaning}": findings[meaning] for meaning in Meaning},
        **{f"samples: {meaning}": taught[meaning] for meaning in Meaning if meaning.teaches},
        "scans": len(lines),
        "scans of single-type data sets left out": cases - len(lines),
    }
