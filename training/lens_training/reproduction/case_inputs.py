"""What mining reads of training cases: their annotations, what a detector said about them, and the vectors of both."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lens_engine.errors import StoreError
from lens_engine.findings import Box2D
from lens_engine.lesion_embedding.embedding import LesionEmbedder
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.inputs import SeriesMiningInput
from lens_engine.mining.looks import ComparedBoxes, SeriesLesions, embed_series
from lens_engine.mining.strategies.choice import StrategySettings, rows_to_embed
from lens_training.datasets.case import Case
from lens_training.errors import TrainingInterruptedError
from lens_training.reproduction.case_annotations import annotations_of
from lens_training.reproduction.case_detections import DetectionFiles
from lens_training.reproduction.recipe_embedding import UsedEmbedding
from lens_training.running.progress import ProgressLog, Stage
from lens_training.running.stopping import StopSignal


@dataclass(frozen=True, slots=True)
class RoundFiles:
    """What a round keeps of every case before it mines.

    Attributes
    ----------
    vectors, embedding
        None where the strategy matches nothing.
    """

    detections: DetectionFiles
    vectors: VectorFiles | None = None
    embedding: UsedEmbedding | None = None


class CaseInputs:
    """The mining inputs of cases, read one at a time: those of a whole data set do not fit into memory together."""

    def __init__(self, cases: Sequence[Case], files: RoundFiles) -> None:
        self._cases, self._files = cases, files
        by_patient: dict[str, list[int]] = {}
        for number, case in enumerate(cases):
            by_patient.setdefault(case.patient, []).append(number)
        self._patient_id = {name: number for number, name in enumerate(by_patient)}
        self._scan_id: dict[str, int] = {}
        self._first_id: list[int] = []
        owners: list[tuple[str, int]] = []
        for case in cases:
            self._scan_id.setdefault(case.scan or case.name, len(self._scan_id))
            self._first_id.append(len(owners))
            owners += [(case.name, number) for number, _ in enumerate(annotations_of(case))]
        self.patients = tuple(tuple(numbers) for numbers in by_patient.values())
        """Numbers of the cases of each patient."""
        self.owner_of_id: Mapping[int, tuple[str, int]] = dict(enumerate(owners))
        """Case, and number within the case, of each annotation."""

    def of(self, numbers: Sequence[int]) -> Iterator[SeriesMiningInput]:
        """Yield the input of each case; sub-volumes of one scan are one series, which is not matched with itself."""
        for number in numbers:
            case = self._cases[number]
            found = self._files.detections.read(case)
            lesions, proposals = SeriesLesions(annotations_of(case, self._first_id[number])), found.proposals
            if self._files.vectors is not None:
                vectors = self._files.vectors.read(case.name)
                lesions, proposals = vectors.of_lesions(lesions), vectors.of_boxes(proposals)
            scan = self._scan_id[case.scan or case.name]
            yield SeriesMiningInput(
                series_id=scan,
                patient_id=self._patient_id[case.patient],
                study_id=scan,  # no strategy asks for the study
                slices=case.geometry.shape[0],
                proposals=proposals,
                annotations=lesions.annotations,
                universal_experts=(case.dataset,),
                augmented=found.augmented,
            )


def embed_cases(
    cases: Sequence[Case],
    files: RoundFiles,
    settings: StrategySettings,
    embedder: LesionEmbedder,
    log: ProgressLog,
    stop: StopSignal,
) -> None:
    """Embed the annotations of cases and the boxes that a strategy compares with them, but for what is done already.

    Raises
    ------
    TrainingStoppedError
        If the process was asked to end.
    TrainingInterruptedError
        If the disk refuses.
    TrainingError, StoreError, CheckpointError
        If a file cannot be read.
    """
    if files.vectors is None or files.embedding is None:
        return
    source = CaseInputs(cases, RoundFiles(files.detections))
    for number, case in enumerate(cases):
        stop.check()
        log.report(Stage.EMBED, number, len(cases), {"embedding": files.embedding.note})
        (series,) = source.of([number])
        rows = rows_to_embed(series, settings)
        if files.vectors.exists(case.name) and np.isin(rows, files.vectors.read(case.name).rows).all():
            continue
        embed = partial(_embed, embedder, case)
        boxes = ComparedBoxes.of(series.proposals, rows)
        vectors = embed_series(embed, SeriesLesions(series.annotations), boxes)
        try:
            files.vectors.write(case.name, vectors)
        except StoreError as error:
            raise TrainingInterruptedError(error.happened, error.expected, "Free space on that disk") from error
    log.report(Stage.EMBED, len(cases), len(cases), {"embedding": files.embedding.note})


def _embed(embedder: LesionEmbedder, case: Case, places: Sequence[tuple[float, Box2D]]) -> NDArray[np.float32]:
    return embedder.embed(case.load(), places)
