"""What the viewer reads from and writes to a project, as plain functions for a background thread.

Nothing here touches Qt; every method may take long and none is called in the GUI thread.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

from lens_engine.errors import LensError, StoreError
from lens_engine.findings import Decision, Finding, Reason, Split, middle_section
from lens_engine.io.series import read_series, scan, whole_series
from lens_engine.jobs.results import TrainResult
from lens_engine.jobs.status import JobStatus
from lens_engine.progress import ProgressCallback, WorkHandle
from lens_engine.project import Project
from lens_engine.snapshot import LabelSet
from lens_engine.store.annotations import AnnotationRecord, AnnotationRole, Annotations
from lens_engine.store.candidates import CandidateRecord, Candidates
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.decisions import Committed, DecisionRecord, Decisions
from lens_engine.store.detections import Detections
from lens_engine.store.exchange.ingest import AddReport, add_found
from lens_engine.store.labels import completeness
from lens_engine.store.labels.complete_truth import TrueLesion, complete_truth
from lens_engine.store.labels.completeness import (
    how_to_measure,
    measurable_elsewhere,
    measured_series,
)
from lens_engine.store.labels.left_out import why_left_out
from lens_engine.store.labels.snapshots import Snapshots
from lens_engine.store.mining_runs import latest_version
from lens_engine.store.models.model_versions import ModelRecord, Models
from lens_engine.store.queue.outline import QueueOutline
from lens_engine.volume import Volume
from lens_engine.window_presets import Window, preset_for
from lens_napari.review.adding import AddRequest
from lens_napari.review.next_step import Standing
from lens_napari.review.partners import FoundPartner, LesionToCompare, apart, partner_reason
from lens_napari.review.saying.kept import KeptDecision
from lens_napari.review.versions.learning import FrozenLabels, LastTraining, LearningPlan, OutdatedList
from lens_napari.review.wording import Partner

CACHE_BYTES = 1_500_000_000
"""Volumes kept in memory; the current one and the next are always kept."""
LEAST_KEPT = 2


@dataclass(frozen=True, slots=True)
class ReviewedProject:
    """What is reviewed, as it is in the project now.

    Attributes
    ----------
    queue
        The lesions of the latest mining, decided ones included: of the patients that are learnt from, or of all.
    decided_today
        Those of all candidates about which the reader has decided today.
    series
        Every series with images.
    lesion_types
        What a reader can say that a lesion is of.
    model_version
        The one in use; None in a project without any.
    is_demo
        Whether that model was not trained on patients.
    """

    queue: QueueOutline
    decided_today: frozenset[int]
    series: tuple[SeriesRecord, ...]
    lesion_types: tuple[str, ...]
    model_version: str | None
    is_demo: bool


@dataclass(frozen=True, slots=True, eq=False)
class LoadedSeries:
    """One series with everything that is drawn on it."""

    record: SeriesRecord
    volume: Volume
    findings: tuple[Finding, ...]
    annotations: tuple[AnnotationRecord, ...]
    window: Window
    """Grey values that fit the region of the first lesion; used where no lesion is asked about."""
    is_searched: bool = True
    """Whether a model has looked at it, whatever it found."""
    candidates: tuple[CandidateRecord, ...] = ()
    """The lesions of it that readers are asked about."""


@dataclass(frozen=True, slots=True)
class MarkedSeries:
    """A series whose mark was changed, and how many lesions of it are known in 3D; None where nobody must hear it."""

    record: SeriesRecord
    lesions: int | None


class VolumeCache:
    """Volumes by series, the least recently used ones dropped; safe to use from several threads."""

    def __init__(self) -> None:
        self._volumes: OrderedDict[int, Volume] = OrderedDict()
        self._lock = Lock()
        self._reading: dict[int, Lock] = {}

    def get(self, record: SeriesRecord) -> Volume:
        """Return the voxels of a series.

        Raises
        ------
        LensError
            If the files are missing or broken, or the series is known from an annotation file only.
        """
        with self._lock:
            reading = self._reading.setdefault(record.id, Lock())
        with reading:  # the second thread that wants a scan waits for the first one's answer
            return self._get(record)

    def _get(self, record: SeriesRecord) -> Volume:
        with self._lock:
            if record.id in self._volumes:
                self._volumes.move_to_end(record.id)
                return self._volumes[record.id]
        if record.source is None:
            raise StoreError(
                f"Series {record.name} has no images", "Its CT files are needed", "Add them with: lens add PATH"
            )
        volume = read_series(record.source, record.name)
        with self._lock:
            self._volumes[record.id] = volume
            while len(self._volumes) > LEAST_KEPT and self._bytes() > CACHE_BYTES:
                self._volumes.popitem(last=False)
        return volume

    def _bytes(self) -> int:
        return sum(volume.voxels.nbytes for volume in self._volumes.values())


class ProjectStore:
    """The project as the viewer sees it."""

    def __init__(self, project: Project) -> None:
        self.project = project
        database = Database.open(project)
        self._database = database
        self.catalog = Catalog(database)
        self.models = Models(database)
        self._annotations = Annotations(database)
        self._candidates = Candidates(database)
        self._decisions = Decisions(database)
        self._detections = Detections(database)
        self._snapshots = Snapshots(database)
        self._volumes = VolumeCache()

    @property
    def database(self) -> Database:
        """The project's database, for readings of the test set."""
        return self._database

    def reviewed(self, reader: str, split: Split | None = Split.TRAIN) -> ReviewedProject:
        """Return everything that a review begins with; the lesions are those of one split, or of all."""
        promoted = self.promoted()
        midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
        return ReviewedProject(
            queue=self._candidates.outline(split),
            decided_today=self._decisions.decided_by(reader, midnight),
            series=self.viewable_series(),
            lesion_types=self.catalog.lesion_types(),
            model_version=promoted.version if promoted else None,
            is_demo=promoted is not None and promoted.is_demo,
        )

    def experts(self) -> tuple[str, ...]:
        """Return the experts of the model in use, or the data sets where there is no model yet."""
        promoted = self.promoted()
        return promoted.experts if promoted else tuple(dataset.name for dataset in self.catalog.datasets())

    def promoted(self) -> ModelRecord | None:
        """Return the model in use, or None in a project without any."""
        return self.models.find_promoted()

    def viewable_series(self) -> tuple[SeriesRecord, ...]:
        """Return every series with images."""
        return self.catalog.all_series(with_images=True)

    def load(self, series_id: int, model_version: str | None, mining_run: int | None = None) -> LoadedSeries:
        """Read one series with its findings and annotations, and what a mining run asks about in it.

        Raises
        ------
        LensError
            If the images or the detections cannot be read.
        """
        record = self.catalog.series(series_id)
        volume = self._volumes.get(record)
        findings: tuple[Finding, ...] = ()
        is_searched = model_version is not None and self._detections.exists(series_id, model_version)
        if model_version is not None and is_searched:
            findings = self._detections.read_findings(series_id, model_version)
        annotations = self._annotations.of_series(series_id, AnnotationRole.LABEL)
        region = next((finding.box for finding in findings), None)
        window = preset_for(volume.voxels, region or _middle_of(volume)).value
        candidates = () if mining_run is None else self._candidates.of_series(series_id, mining_run)
        return LoadedSeries(record, volume, findings, tuple(annotations), window, is_searched, candidates)

    def partner_of(self, asked: CandidateRecord) -> FoundPartner | None:
        """Return the marked lesion that a candidate is said to be, with its scan, or None when there is none."""
        reason, slices = partner_reason(asked.candidate), asked.candidate.finding.slices
        if reason is None or not slices:
            return None
        now = self.catalog.series(asked.candidate.series_id)
        known = self._known_lesion(reason, now)
        if known is None or not known.slices:
            return None
        then = self.catalog.series(known.series_id)
        distance = apart(then, middle_section(known.slices).slice_index, now, middle_section(slices).slice_index)
        return FoundPartner(asked.id, Partner(scan_in_words(then), distance), self._to_compare(known, then))

    def commit(self, decision: Decision, seen: Decision | None) -> Committed:
        """Write a decision behind the one it replaces; it is on disk when this returns, with those that go along.

        Raises
        ------
        SettledError
            If another reader has said something that this one has not seen.
        """
        return self._decisions.add_seen(decision, seen)

    def write_kept(self, kept: KeptDecision) -> None:
        """Write a decision that could not be saved before, unless it was: a window may have left before the answer.

        Raises
        ------
        LensError
            If it is not on disk then.
        """
        said = kept.said
        if any(_is_same(one.decision, said) for one in self._decisions.history(said.series_id)):
            return
        if kept.is_drawn:
            self.commit_drawn(said, kept.row_id, is_there=kept.was_there)
        else:
            self.commit(said, kept.seen)

    def drawn_lesions(self, series_id: int) -> tuple[DecisionRecord, ...]:
        """Return the lesions of a series that readers drew without being asked."""
        return self._decisions.added(series_id)

    def commit_drawn(self, said: Decision, row_id: int | None, *, is_there: bool) -> int:
        """Write what is said now of a lesion that a reader drew, and return its row, which is on disk then.

        Parameters
        ----------
        row_id
            The latest row about it; None of a new one.
        is_there
            Whether the lesion is there until now: not before it is drawn, nor while it is deleted.

        Raises
        ------
        StoreError
            If it could not be written before, or was taken back meanwhile.
        """
        if not is_there:
            return self._decisions.add(replace(said, previous_id=row_id)).id
        if row_id is None:
            raise StoreError("The lesion is not on disk", "A lesion that was saved", "Draw it again")
        return self._decisions.change_added(row_id, said).id

    def mark_complete(self, series_id: int) -> MarkedSeries:
        """Say that every lesion of a series is annotated in 3D; it is on disk when this returns.

        Raises
        ------
        LensError
            If the series cannot be measured on, or a lesion of it is not known in 3D.
        """
        return self._marked(completeness.mark_complete(self._database, series_id))

    def unmark_complete(self, series_id: int) -> MarkedSeries:
        """Say that a series is not completely annotated; it is on disk when this returns."""
        return self._marked(completeness.unmark_complete(self._database, series_id))

    def truth_of(self, series_id: int) -> tuple[TrueLesion, ...] | None:
        """Return every lesion of a series, or None where they are not all known in 3D."""
        return complete_truth(self._database, series_id)

    def learning_plan(self) -> LearningPlan:
        """Return what a new version would be made of now."""
        promoted = self.promoted()
        return LearningPlan(
            counts=self._snapshots.counts(LabelSet.CURATED),
            measured_on=_measured_on(self._database),
            parent=promoted.version if promoted else "no model yet",
        )

    def freeze(self) -> FrozenLabels:
        """Freeze the labels as they are now and return what they are."""
        frozen = self._snapshots.freeze(LabelSet.CURATED)
        return FrozenLabels(frozen.id, frozen.counts)

    def last_training(self, job: JobStatus) -> LastTraining:
        """Return what became of a training that is done."""
        result, promoted = TrainResult.model_validate(dict(job.result)), self.promoted()
        frozen = next((one for one in self._snapshots.all() if one.id == result.snapshot_id), None)
        return LastTraining(
            result=result,
            seconds=job.duration_seconds,
            worker=job.worker,
            learned_from=FrozenLabels(frozen.id, frozen.counts) if frozen is not None else None,
            is_in_use=promoted is not None and promoted.version == result.model_version,
            is_measured_apart=not _is_measured(result) and bool(self.models.evaluations(result.model_version)),
        )

    def compared_versions(self, version: str) -> tuple[str, ...]:
        """Return what is measured to judge a version: the one that it came from, where that is still whole, and it."""
        before = self.models.get(version).parent
        return (*(one.version for one in self.models.all() if one.version == before), version)

    def outdated_list(self) -> OutdatedList | None:
        """Return what to do while the lesions in the list come from another version than the one in use, if they do."""
        promoted, listed = self.promoted(), latest_version(self._database)
        if promoted is None or promoted.version == listed:
            return None
        mined = {number for number, split in self.catalog.splits_with_images().items() if split is not Split.TEST}
        if not mined:
            return None
        unseen = len(mined - set(self._detections.series_of(promoted.version)))
        return OutdatedList(promoted.version, listed, unseen, len(mined))

    def unseen_series(self, model_version: str) -> tuple[int, ...]:
        """Return every series with images that a model version has not looked at."""
        seen = self._detections.series_of(model_version)
        return tuple(number for number in self.catalog.splits_with_images() if number not in seen)

    def standing(self) -> Standing:
        """Return how far the project has come."""
        series, promoted = self.catalog.splits_with_images(), self.promoted()
        is_mined = self._candidates.has_run()
        return Standing(
            series=len(series),
            mined_series=sum(split is not Split.TEST for split in series.values()),
            unseen=len(self.unseen_series(promoted.version)) if promoted else len(series),
            model_version=promoted.version if promoted else None,
            is_mined=is_mined,
            validation_waiting=self._candidates.count_open(Split.VAL) if is_mined else 0,
        )

    def is_searched(self, series_id: int) -> bool:
        """Return whether the model in use has looked at a series."""
        promoted = self.promoted()
        return promoted is not None and self._detections.exists(series_id, promoted.version)

    def add_scans(self, request: AddRequest, on_progress: ProgressCallback, handle: WorkHandle) -> AddReport:
        """Add scans; a new data set is made only where there is something to put into it.

        Raises
        ------
        LensError
            If the data set exists with another meaning; everything about single scans is in the report.
        StoppedError
            If the work was stopped before anything was added.
        """
        found = scan(whole_series(request.paths), on_progress, handle)
        dataset = request.dataset
        if not found.found:
            return AddReport((), 0, found.skipped, (), found.problems)
        self.catalog.add_dataset(dataset.name, dataset.scope, dataset.lesion_type)
        return add_found(self._database, found, request.paths, dataset.name, request.split, handle)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _marked(self, record: SeriesRecord) -> MarkedSeries:
        return MarkedSeries(record, completeness.known_lesions(self._database, record.id))

    def _to_compare(self, known: AnnotationRecord | Decision, series: SeriesRecord) -> LesionToCompare | LensError:
        try:
            return LesionToCompare(scan_in_words(series), known.box, known.slices, self._volumes.get(series))
        except LensError as error:  # what is said about the partner is known all the same
            return error

    def _known_lesion(self, reason: Reason, asked_in: SeriesRecord) -> AnnotationRecord | Decision | None:
        """Return the annotation, or the decision about the patient, that a reason names."""
        if reason.annotation_id is not None:
            return self._annotations.find(reason.annotation_id)
        for record in self.catalog.of_patient(asked_in.patient_id):
            for decided in self._decisions.history(record.id):
                if decided.id == reason.decision_id:
                    return decided.decision
        return None


def message_of(error: Exception) -> str:
    """Return what a reader is told about an error."""
    return str(error) if isinstance(error, LensError) else f"{type(error).__name__}: {error}"


def _is_same(stored: Decision, said: Decision) -> bool:
    """Return whether a reader's decision is stored; no two of his are of one moment."""
    return (stored.reader, stored.decided_at, stored.verdict) == (said.reader, said.decided_at, said.verdict)


def scan_in_words(record: SeriesRecord) -> str:
    """Return which scan of its patient a series is."""
    date = f" of {record.study_date.isoformat()}" if record.study_date else ""
    return f"study {record.study_number}{date}, series {record.series_number}"


def _is_measured(result: TrainResult) -> bool:
    return result.evaluation is not None and result.evaluation.measurable


def _middle_of(volume: Volume) -> tuple[float, float, float, float, float, float]:
    z, y, x = (size / 2 for size in volume.voxels.shape)
    return x - 20, y - 20, z, x + 20, y + 20, z + 1


def _measured_on(database: Database) -> str:
    measured = measured_series(database, Split.TEST)
    left_out = why_left_out(measured.left_out, measured.disputed)
    if measured.series:
        patients = {record.patient_id for record in measured.series}
        known = f"{len(measured.series)} complete held-out series of {len(patients)} patients"
        return f"{known}. {left_out}" if left_out else known
    sentences = (
        "Not measurable yet: no series of the test patients is completely annotated.",
        left_out or how_to_measure(Split.TEST),
        measurable_elsewhere(database, Split.TEST),
    )
    return " ".join(filter(None, sentences))
