"""The predictions of a run: one file for each case, written as they come, by as many processes as there are devices.

A case is claimed while a process looks at it, and done when its file has its name. So no case is looked at twice, what
a killed process had claimed is free again, and a process may join at any time. Measuring reads the files one by one.
A scan that cannot be read ends the evaluation once all others are done: none is left out of what is measured.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from lens_engine.errors import GeometryError, LensError, SeriesError
from lens_engine.findings import Finding
from lens_training.datasets.case import Case
from lens_training.errors import TrainingInterruptedError
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.measuring.measurer import Look
from lens_training.running.processes.claims import claimed
from lens_training.running.processes.world import World
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal

PREDICTIONS_FOLDER = "predictions"
CLAIMS_FILE = "claims.lock"
_POLL_SECONDS = 0.1


class Predictor:
    """Looks at the cases that nobody has looked at, beside the other processes of a run.

    Parameters
    ----------
    world
        The first process waits for the end of what the others have claimed; they end when nothing is left to claim.
    """

    def __init__(self, world: World, log: ProgressLog, stop: StopSignal) -> None:
        self._world, self._log, self._stop = world, log, stop
        self._cases = set[str]()
        self._unreadable: dict[str, LensError] = {}

    def predict(self, cases: Sequence[Case], files: DetectionFiles, look: Look) -> None:
        """Write the files that are missing.

        Raises
        ------
        TrainingStoppedError
            If the process was asked to end; what is done is kept.
        TrainingInterruptedError
            If the disk refuses or locks no files.
        """
        self._cases |= {case.name for case in cases}
        self._tell_others(cases, files)
        left = [case for case in cases if not files.has(case)]
        while left:
            before = len(left)
            left = self._round(left, len(cases), files, look)
            if left and not self._world.is_first:
                return
            if len(left) == before:
                time.sleep(_POLL_SECONDS)
        self._log.report(Stage.EVALUATE, len(cases), len(cases))

    def refuse_unreadable(self) -> None:
        """Raise `TrainingInterruptedError` if any scan of what was predicted cannot be read; the others are done."""
        if self._unreadable:
            raise _unreadable(self._unreadable, len(self._cases))

    def _round(self, left: Sequence[Case], total: int, files: DetectionFiles, look: Look) -> list[Case]:
        """Look at what is free, and return what others are at."""
        busy: list[Case] = []
        for number, case in enumerate(left):
            self._stop.check()
            with claimed(files.folder / CLAIMS_FILE, case.name) as is_ours:
                if files.has(case):
                    continue
                if not is_ours:
                    busy.append(case)
                    continue
                self._log.report(Stage.EVALUATE, total - len(left) + number - len(busy), total)
                try:
                    found = look(case)
                except (SeriesError, GeometryError) as error:
                    self._unreadable[case.name] = error
                else:
                    files.write(case, found)
        return busy

    def _tell_others(self, cases: Sequence[Case], files: DetectionFiles) -> None:
        others = sum(files.holds_others(case) for case in cases)
        if others:
            note = f"{others} predictions of other weights or other settings in {files.folder.name} are replaced"
            self._log.report(Stage.EVALUATE, 0, len(cases), {"note": note})


class FindingsOfCases(Mapping[str, Sequence[Finding]]):
    """The findings of cases by their names, read from their files whenever they are asked for.

    Parameters
    ----------
    outputs
        Those whose findings are meant.
    stop
        Once it is set, asking raises `TrainingStoppedError`.
    """

    def __init__(self, cases: Sequence[Case], files: DetectionFiles, outputs: frozenset[str], stop: StopSignal) -> None:
        self._cases = {case.name: case for case in cases}
        self._files = files
        self._outputs = outputs
        self._stop = stop

    def __getitem__(self, name: str) -> Sequence[Finding]:
        self._stop.check()
        return [item for item in self._files.read_findings(self._cases[name]) if item.expert in self._outputs]

    def __iter__(self) -> Iterator[str]:
        return iter(self._cases)

    def __len__(self) -> int:
        return len(self._cases)


def _unreadable(errors: Mapping[str, LensError], cases: int) -> TrainingInterruptedError:
    (name, first), *_ = errors.items()
    others = "".join(f", {other}" for other in [*errors][1:])
    return TrainingInterruptedError(
        f"{len(errors)} of {cases} scans cannot be read: {name} ({first.happened}){others}",
        "All of them are measured together",
        "Copy them again from their source: the others are done",
    )
