"""One replicate of the experiment: a detector poor in labels, its arms, all measured on the test patients."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lens_engine.findings import Finding, Split
from lens_engine.jobs.inputs import DetectInputs, MineInputs, TrainInputs
from lens_engine.jobs.results import MineResult, TrainResult
from lens_engine.phantom.patient import UNIVERSAL
from lens_engine.phantom.simulated_reader import SimulatedReader
from lens_engine.store.catalog import Catalog
from lens_engine.store.detections import Detections
from lens_engine.store.labels.snapshots import SnapshotRecord, Snapshots
from lens_engine.store.models.model_versions import Models
from lens_training.loop.cohorts import ensure_cohort, training_cohort, truth_of
from lens_training.loop.design import PART_ARMS, Arm, LoopDesign, Order
from lens_training.loop.projects import LoopProject, open_or_make

Say = Callable[[str], None]

BASE = "base"
"""What the detector is called from which all arms start."""


@dataclass(frozen=True, slots=True)
class ReplicateFolders:
    """Where one replicate keeps its files: one project for the arms, one whose reader overlooks nothing."""

    folder: Path
    test: Path

    @property
    def cohort(self) -> Path:
        """The scans to learn from."""
        return self.folder / "cohort"

    @property
    def project(self) -> Path:
        """The project that mines and asks."""
        return self.folder / "project"

    @property
    def complete(self) -> Path:
        """The project in which every lesion was drawn."""
        return self.folder / "complete"


@dataclass(frozen=True, slots=True)
class ReplicateOutcome:
    """What one replicate leaves to be compared.

    Attributes
    ----------
    versions
        The model version of the base and of each arm.
    labels
        What each arm learned from, counted in words.
    findings
        Findings of each of them on the test series by series name.
    candidates
        What mining found by rule.
    answers
        What the reader of each arm with one had said.
    """

    versions: dict[str, str]
    labels: dict[str, dict[str, int]]
    findings: dict[str, dict[str, tuple[Finding, ...]]]
    candidates: dict[str, int]
    answers: dict[str, dict[str, int]]


class Replicate:
    """One replicate, done step by step; what is done already is not done again."""

    def __init__(self, design: LoopDesign, number: int, folders: ReplicateFolders, say: Say) -> None:
        self._design, self._number, self._folders, self._say = design, number, folders, say
        ensure_cohort(folders.cohort, training_cohort(design, number))
        self._truth = truth_of(folders.cohort, UNIVERSAL)
        self._project = open_or_make(folders.project, folders.cohort, folders.test, with_annotations=True)
        self._versions: dict[str, str] = {}
        self._labels: dict[str, dict[str, int]] = {}

    def run(self) -> ReplicateOutcome:
        """Do all steps and return what came out."""
        first = Models(self._project.database).promoted().version
        from_nothing = self._inputs(self._freeze(Arm.ORIGINAL).id, first, self._design.base_steps, from_scratch=True)
        self._versions[BASE] = base = self._trained(self._project, BASE, from_nothing)
        self._versions[Arm.COMPLETE.value], self._labels[Arm.COMPLETE.value] = self._complete(base)
        self._learn(Arm.ORIGINAL)
        candidates = self._mine(base)
        self._learn(Arm.MINED)
        answers = self._ask()
        findings = {name: self._findings(name, version) for name, version in self._versions.items()}
        return ReplicateOutcome(self._versions, self._labels, findings, candidates, answers)

    def _learn(self, arm: Arm) -> None:
        """Train an arm on what is known now."""
        snapshot = self._freeze(arm)
        self._labels[arm.value] = snapshot.counts
        inputs = self._inputs(snapshot.id, self._versions[BASE], self._design.arm_steps)
        self._versions[arm.value] = self._trained(self._project, arm.value, inputs)

    def _ask(self) -> dict[str, dict[str, int]]:
        """Ask a part of the candidates in each order, then the rest, and train after each; return the answers."""
        truth = {name: true.boxes for name, true in self._truth.items()}
        reader = SimulatedReader(truth, self._design.error_rate, self._number)
        answers = {}
        for order, arm in PART_ARMS.items():
            self._project.take_back_all()
            asked = self._project.asked(order, self._number)
            answers[arm.value] = self._project.decide(reader, asked[: round(self._design.part * len(asked))])
            self._learn(arm)
        rest = self._project.asked(Order.AS_ASKED, self._number)
        answers[Arm.DECIDED.value] = self._project.decide(reader, rest)
        self._learn(Arm.DECIDED)
        return answers

    def _freeze(self, arm: Arm) -> SnapshotRecord:
        return Snapshots(self._project.database).freeze(arm.labels)

    def _inputs(self, snapshot: str, parent: str, steps: int, from_scratch: bool = False) -> TrainInputs:
        return TrainInputs(
            snapshot_id=snapshot, parent_version=parent, steps=steps, seed=self._number, from_scratch=from_scratch
        )

    def _complete(self, base: str) -> tuple[str, dict[str, int]]:
        """Train the arm that knows everything, in its own project, and bring its detector into the common one."""
        complete = open_or_make(self._folders.complete, self._folders.cohort, None, with_annotations=False)
        own_base = Models(complete.database).register(Models(self._project.database).get(base).folder).version
        complete.draw_all({name: true.drawn for name, true in self._truth.items()})
        snapshot = Snapshots(complete.database).freeze(Arm.COMPLETE.labels)
        inputs = self._inputs(snapshot.id, own_base, self._design.arm_steps)
        version = self._trained(complete, Arm.COMPLETE.value, inputs)
        folder = Models(complete.database).get(version).folder
        return Models(self._project.database).register(folder, base).version, snapshot.counts

    def _mine(self, base: str) -> dict[str, int]:
        series = self._project.series_ids(Split.TRAIN)
        self._say("detecting in the training patients and mining")
        self._project.job("detect", DetectInputs(series_ids=series, model_version=base))
        status = self._project.job("mine", MineInputs(model_version=base))
        return MineResult.model_validate(dict(status.result)).by_reason

    def _findings(self, name: str, version: str) -> dict[str, tuple[Finding, ...]]:
        series = self._project.series_ids(Split.TEST)
        self._say(f"detecting with {name} in the test patients")
        self._project.job(f"detect with {name}", DetectInputs(series_ids=series, model_version=version))
        detections = Detections(self._project.database)
        names = {record.id: record.name for record in Catalog(self._project.database).all_series(with_images=True)}
        return {names[series_id]: detections.read_findings(series_id, version) for series_id in series}

    def _trained(self, project: LoopProject, name: str, inputs: TrainInputs) -> str:
        self._say(f"training {name}")
        status = project.job(f"train {name}", inputs)
        return TrainResult.model_validate(dict(status.result)).model_version
