"""What a child process can do: one method per task, each safe to repeat after a crash."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.false_positive_reduction.checkpoint import load_network
from lens_engine.detector.false_positive_reduction.network import FprNetwork
from lens_engine.detector.false_positive_reduction.rescoring import reduce_in_series
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferencePrecision, InferenceSettings
from lens_engine.detector.network.cuda_kernels import kernels_in_words
from lens_engine.errors import GeometryError, SeriesError, StoreError
from lens_engine.io.series import read_series
from lens_engine.jobs.names import MINED_FOLDER
from lens_engine.jobs.results import ExportResult
from lens_engine.lesion_embedding.embedding import LesionEmbedder
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import NO_BOXES, ComparedBoxes, compared_rows, embed_series
from lens_engine.mining.settings import MiningSettings
from lens_engine.project import Project
from lens_engine.proposals import SeriesDetections
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.exchange.exporting import export_test_set
from lens_engine.store.models.lesion_embedding import embedding_folder
from lens_engine.store.models.model_versions import Models
from lens_engine.tasks.claims import claim
from lens_engine.tasks.device_errors import within_memory
from lens_engine.tasks.evaluation import evaluate_models
from lens_engine.tasks.mining import calibrate_rules, mine_patients, store_candidates
from lens_engine.tasks.mining_files import MiningFiles
from lens_engine.tasks.mining_inputs import MiningInputs, lesions_of_series
from lens_engine.tasks.reading_ahead import ReadingAhead
from lens_engine.volume import Volume
from lens_engine.worker.messages import (
    CalibrateRules,
    DetectSeries,
    EmbedAnnotations,
    EvaluateModels,
    ExportAnnotations,
    MinePatients,
    StoreCandidates,
    Task,
)

CLAIM_SECONDS = 0.5
"""Between two looks at whether another job is done with a series."""

Report = Callable[[int, int], None]

logger = logging.getLogger("lens_engine.tasks.workbench")


class Workbench:
    """The project, the model in memory, and the tasks on them.

    Parameters
    ----------
    folder
        Folder of the job, for what one of its tasks leaves to another.
    """

    def __init__(self, project: Project, folder: Path) -> None:
        self._database = Database.open(project)
        self._embeddings_folder = folder / "embeddings"
        self._mining = MiningFiles(folder / MINED_FOLDER)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._ahead = ReadingAhead(read_scan)
        self._embedder = LesionEmbedder(embedding_folder(project), self._device)
        self._model: tuple[str, LensDetector] | None = None
        self._detector: tuple[str, bool, InferenceDetector] | None = None
        self._reduction: tuple[str, FprNetwork] | None = None

    def run(self, task: Task, report: Report) -> dict[str, object]:
        """Do one task and return what the job remembers of it. Raises `LensError` for what a user can understand."""
        match task:
            case DetectSeries():
                return self._detect(task, report)
            case EmbedAnnotations():
                return self._embed(task)
            case CalibrateRules():
                inputs, measured = self._inputs(task.model_version), self._embedder.card.distance_limit
                return calibrate_rules(inputs, self._mining, task, report, measured)
            case MinePatients():
                return mine_patients(self._inputs(task.model_version), self._mining, task, report)
            case StoreCandidates():
                return store_candidates(self._database, self._mining, task, report).model_dump(mode="json")
            case EvaluateModels():
                return evaluate_models(self._database, task, report).model_dump(mode="json")
            case ExportAnnotations():
                return self._export(task)

    def _detect(self, task: DetectSeries, report: Report) -> dict[str, object]:
        series = Catalog(self._database).series(task.series_id)
        while True:
            with claim(self._database, f"detect {task.model_version} {series.id}") as is_ours:
                if is_ours:
                    known = self._detected(series, task.model_version)
                    if known is None:
                        return self._detect_anew(series, task, report)
                    logger.info("series %s: has detections of %s already, left alone", series.name, task.model_version)
                    return _detect_result(known, skipped=True)
            if not task.waits:
                logger.info("series %s: another job is at it, left for later", series.name)
                return {"skipped": True, "taken": True, "boxes": {}, "findings": {}}
            report(0, 1)
            time.sleep(CLAIM_SECONDS)

    def _detect_anew(self, series: SeriesRecord, task: DetectSeries, report: Report) -> dict[str, object]:
        detections = Detections(self._database)
        started = time.monotonic()
        detector = self._prepared(task.model_version, compiles=task.compiles)
        network = self._reduction_of(task.model_version)
        try:
            volume = self._ahead.volume(series)
        except (SeriesError, GeometryError) as error:
            logger.warning("series %s: cannot be used: %s", series.name, error)
            return {"skipped": True, "boxes": {}, "findings": {}, "problem": f"{series.name}: {error}"}
        self._read_ahead(task)
        passes = 1 if network is None else 2
        found = within_memory(
            lambda: detect_with(detector, volume, lambda done, total: report(done, passes * total)),
            detector.shrink_chunk,
        )
        if network is not None:
            found = reduce_in_series(network, volume, found, lambda done, total: report(total + done, 2 * total))
            judged = sum(finding.detector_score is not None for finding in found.findings)
            logger.info("series %s: false-positive reduction judged %d fused findings again", series.name, judged)
        detections.write(series.id, task.model_version, found)
        result = _detect_result(found, skipped=False)
        seconds = time.monotonic() - started
        logger.info("series %s: detected with %s in %.1f s", series.name, task.model_version, seconds)
        return result

    def _read_ahead(self, task: DetectSeries) -> None:
        """Begin to read the scan that is likely to be asked for next, unless nothing is to be detected in it."""
        if task.next_series_id is None or Detections(self._database).exists(task.next_series_id, task.model_version):
            return
        self._ahead.begin(Catalog(self._database).series(task.next_series_id))

    def _detected(self, series: SeriesRecord, version: str) -> SeriesDetections | None:
        """Return what is stored about a series; what cannot be read any more has to be detected anew."""
        detections = Detections(self._database)
        if not detections.exists(series.id, version):
            return None
        try:
            return detections.read(series.id, version)
        except StoreError as error:
            logger.warning("series %s: detecting anew: %s", series.name, error)
            return None

    def _embed(self, task: EmbedAnnotations) -> dict[str, object]:
        series = Catalog(self._database).series(task.series_id)
        lesions = lesions_of_series(self._database, series.id)
        counts = {"annotations": len(lesions.annotations), "decided": len(lesions.decided)}
        files = self._vectors(task.model_version)
        if files.exists(str(series.id)):
            return {**counts, "skipped": True}
        boxes, detections = NO_BOXES, Detections(self._database)
        if detections.exists(series.id, task.model_version):
            proposals = detections.read(series.id, task.model_version).proposals
            boxes = ComparedBoxes.of(proposals, compared_rows(proposals, lesions.annotations, MiningSettings()))
        vectors = embed_series(lambda places: self._embedder.embed(read_scan(series), places), lesions, boxes)
        files.write(str(series.id), vectors)
        known = len(vectors.annotations) + len(vectors.decided)
        logger.info("series %s: embedded %d known lesions and %d boxes", series.name, known, len(vectors.rows))
        return {**counts, "skipped": not known and not len(vectors.rows)}

    def _inputs(self, version: str) -> MiningInputs:
        return MiningInputs(self._database, self._vectors(version), version)

    def _vectors(self, version: str) -> VectorFiles:
        return VectorFiles(self._embeddings_folder, self._embedder.card.weights_digest, version)

    def _export(self, task: ExportAnnotations) -> dict[str, object]:
        written = export_test_set(
            self._database, task.format.value, self._database.project.exports_folder / task.target
        )
        logger.info("wrote %s: %d lesions in %d series", task.target, written.lesions, written.series)
        return ExportResult(
            file=task.target,
            series=written.series,
            lesions=written.lesions,
            mapping_file=None if written.mapping_file is None else written.mapping_file.name,
            readings_file=None if written.readings_file is None else written.readings_file.name,
            left_out=written.left_out,
            disputed=written.disputed,
        ).model_dump(mode="json")

    def _load(self, version: str) -> LensDetector:
        if self._model is None or self._model[0] != version:
            self._model = self._detector = self._reduction = None  # give the memory back before the next one comes
            record = Models(self._database).get(version)
            logger.info("loading model %s on %s", version, self._device)
            self._model = (version, load_checkpoint(record.folder, self._device)[0])
        return self._model[1]

    def _prepared(self, version: str, *, compiles: bool) -> InferenceDetector:
        model = self._load(version)
        if self._detector is None or self._detector[:2] != (version, compiles):
            precision = InferencePrecision(Models(self._database).get(version).precision)
            detector = InferenceDetector(model, InferenceSettings(precision, compiles=compiles))
            logger.info("%s looks in %s; %s", version, precision, kernels_in_words(detector.device, precision.dtype))
            self._detector = (version, compiles, detector)
        return self._detector[2]

    def _reduction_of(self, version: str) -> FprNetwork | None:
        """Return what judges the findings of a version again, if it has that."""
        folder = Models(self._database).get(version).reduction
        if folder is None:
            return None
        if self._reduction is None or self._reduction[0] != version:
            logger.info("loading the false-positive reduction of %s on %s", version, self._device)
            self._reduction = (version, load_network(folder, self._device)[0])
        return self._reduction[1]


def read_scan(series: SeriesRecord) -> Volume:
    """Return the scan of a series. Raises `SeriesError` or `GeometryError` where it cannot be used."""
    if series.source is None:
        raise SeriesError(
            f"The project has no images of the series {series.name}",
            "It is known only from an annotation file",
            "Add its scan with 'lens add'",
        )
    return read_series(series.source, series.name)


def _detect_result(found: SeriesDetections, *, skipped: bool) -> dict[str, object]:
    proposals = found.proposals
    counts = np.bincount(proposals.expert_index, minlength=len(proposals.experts))
    boxes: Mapping[str, int] = {name: int(count) for name, count in zip(proposals.experts, counts, strict=True)}
    findings = Counter(finding.expert for finding in found.findings)
    return {"skipped": skipped, "boxes": boxes, "findings": dict(findings)}
