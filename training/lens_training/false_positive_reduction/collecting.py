"""The detector's findings on the training scans, turned into samples and patches by all processes of a run together.

A scan is claimed while a process looks at it, and done when it has its line. So each is read once, what a killed
process had claimed is free again, and a run that was stopped goes on behind the scans that are done.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import EXACT, InferenceDetector, InferenceSettings
from lens_engine.errors import GeometryError, LensError, SeriesError
from lens_engine.findings import FUSED, Finding, Scope
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.unreadable import UnreadableScans
from lens_training.false_positive_reduction.case_lines import CLAIMS_FILE, FAILED_FILE, CaseLine, CaseLines
from lens_training.false_positive_reduction.samples import Meaning, Sample, samples_of
from lens_training.running.processes.agreement import Agreement
from lens_training.running.processes.claims import claimed
from lens_training.running.progress import Stage
from lens_training.running.runner import Reports

_POLL_SECONDS = 0.1

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


def collect(
    training_set: TrainingSet,
    find: Find,
    lines: CaseLines,
    unreadable: UnreadableScans,
    agreement: Agreement,
    reports: Reports,
) -> Collection:
    """Sort the findings on all scans of universal data sets and cut their patches; each scan is read once.

    All processes of the run come here and get the same. Scans that have their line already are not looked at again. One
    that cannot be read is named, and done without a sample.

    Findings on single-type data sets teach nothing: lesions of other types are not labelled there.

    Raises
    ------
    TrainingStoppedError
        If a process was asked to end; the scans that are done stay done.
    LensError
        If the lines belong to another run, too many scans cannot be read, or the disk refuses or locks no files; in all
        processes but the first `EndedElsewhereError`.
    """
    used = [
        number for number, case in enumerate(training_set.cases) if training_set.scopes[case.dataset] is Scope.UNIVERSAL
    ]
    agreement.by_first(partial(lines.begin, len(used)))
    search = _Search(training_set.cases, find, lines, unreadable, reports)
    agreement.together(partial(search.look_at, used))
    if agreement.is_first:
        lines.end()
    found = [lines.done[number] for number in used]
    collected = tuple(sample for line in found for sample in line.as_samples())
    counts = _counts(found, collected, len(training_set.cases))
    reports.log.report(Stage.PREPARE, len(used), len(used), counts)
    return Collection(collected, counts)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """Looks at cases beside the other processes of the run."""

    cases: Sequence[Case]
    find: Find
    lines: CaseLines
    unreadable: UnreadableScans
    reports: Reports

    def look_at(self, numbers: Sequence[int]) -> None:
        """Look at what is free until all cases are done, or a process has failed."""
        failed = self.lines.claims / FAILED_FILE
        try:
            while left := self._left(numbers):
                has_looked = False
                for number in left:
                    self.reports.stop.check()
                    if failed.exists():
                        return
                    has_looked |= self._look_if_free(number, len(numbers))
                if not has_looked:
                    time.sleep(_POLL_SECONDS)
        except LensError:
            with suppress(OSError):
                failed.touch()
            raise

    def _left(self, numbers: Sequence[int]) -> list[int]:
        self.lines.catch_up()
        return [number for number in numbers if number not in self.lines.done]

    def _look_if_free(self, number: int, total: int) -> bool:
        """Look at a case, unless another process does or has done so; return whether we did."""
        with claimed(self.lines.claims / CLAIMS_FILE, str(number)) as is_ours:
            if not is_ours or number not in self._left([number]):
                return False
            self.reports.log.report(Stage.PREPARE, len(self.lines.done), total)
            try:
                self.lines.add(*self._collected(number))
            except (SeriesError, GeometryError) as error:
                self.unreadable.add(number, self.cases[number].name, error)
                self.lines.add(CaseLine(case=number, samples=(), findings={}, is_unreadable=True))
            return True

    def _collected(self, number: int) -> tuple[CaseLine, NDArray[np.void]]:
        """Read a case, look for findings, and cut the patches of those that teach."""
        case = self.cases[number]
        volume = case.load()
        samples, meanings = samples_of(number, self.find(replace(case, load=lambda: volume)), case.labels)
        said = tuple((sample.meaning, sample.box) for sample in samples)
        return CaseLine(case=number, samples=said, findings=meanings), self.lines.shelf.cut(number, volume, samples)


def _counts(lines: Sequence[CaseLine], samples: Sequence[Sample], cases: int) -> dict[str, int]:
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
