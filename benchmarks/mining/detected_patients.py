"""Patients with what a detector would find in them, as a project: detections and embeddings are there, images are not.

Each patient has two or three studies, which show the same three lesions, one of them marked in each, and two dozen
other places. Every expert sees most places on a few slices; the fusion has about 316 boxes in a patient, as 1.4 million
in the 4,427 patients of DeepLesion.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from lens_engine.findings import FUSED, Scope, SliceBox, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.series_source import SeriesFormat, SeriesSource
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import SeriesVectors
from lens_engine.project import Project
from lens_engine.proposals import Proposals, SeriesDetections
from lens_engine.stacking import stack
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog, NewSeries
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.schema import DetectionRow

VERSION = "v1"
SCANS = Path("/scans")
NETWORK = "drawn by chance"
"""Stands for the digest of an embedding network."""
EXPERTS = ("universal", "lung", "liver", "lymph node", FUSED)
SLICES, WIDTH = 60, 256
DISTINCT = 200
"""Patients that differ; more of them are the same ones again, who are never compared."""
LESIONS, PLACES = 3, 29


def make_project(folder: Path, patients: int) -> int:
    """Write a project, and what is embedded into its folder `job`; return how many boxes the fusion has."""
    database = Database.create(Project.create(folder))
    catalog, detections, annotations = Catalog(database), Detections(database), Annotations(database)
    catalog.add_dataset("universal", Scope.UNIVERSAL)
    catalog.add_root(SCANS)
    distinct = [tuple(_studies(number)) for number in range(min(patients, DISTINCT))]
    studies = [(patient, study) for patient in range(patients) for study in range(len(distinct[patient % DISTINCT]))]
    added = catalog.add_many([_new(patient, study) for patient, study in studies], "universal", Split.TRAIN)
    marks, looks, boxes = [], {}, 0
    first_ones: dict[tuple[int, int], int] = {}
    for (patient, study), (record, _) in zip(studies, added, strict=True):
        found, mark, look = distinct[patient % DISTINCT][study]
        first = first_ones.setdefault((patient % DISTINCT, study), record.id)
        if first == record.id:
            detections.write(record.id, VERSION, found)
        else:
            _write_again(database, first, record.id)
        marks.append(replace(mark, series_id=record.id))
        looks[record.id] = look, found.proposals.embeddings
        boxes += len(found.proposals.embeddings)
    annotations.add(marks)
    files = VectorFiles(folder / "job" / "embeddings", NETWORK, VERSION)
    for note in annotations.all():
        look, vectors = looks[note.series_id]
        files.write(str(note.series_id), SeriesVectors({note.id: look}, {}, np.arange(len(vectors)), vectors))
    database.close()
    return boxes


def _write_again(database: Database, first: int, series_id: int) -> None:
    """Give a series the detections of another one, which are the same: the disk would be most of the work."""
    with database.session() as session:
        known = session.scalars(select(DetectionRow).where(DetectionRow.series_id == first)).one()
        path = Path(known.path).with_stem(str(series_id))
        os.link(database.project.folder / known.path, database.project.folder / path)
        session.add(
            DetectionRow(
                series_id=series_id,
                model_version=VERSION,
                path=path.as_posix(),
                box_counts=known.box_counts,
                finding_count=known.finding_count,
                created_at=known.created_at,
            )
        )


def _new(patient: int, study: int) -> NewSeries:
    key = f"{patient}/{study}"
    geometry = VolumeGeometry((SLICES, 512, 512), (2.0, 0.8, 0.8))
    source = SeriesSource(SeriesFormat.NIFTI, (SCANS / key / "scan.nii.gz",))
    return NewSeries(f"patient {patient}", key, key, 1, SLICES, geometry=geometry, source=source)


def _studies(patient: int) -> Iterator[tuple[SeriesDetections, NewAnnotation, NDArray[np.float32]]]:
    chance = np.random.default_rng(patient)
    lesions = chance.normal(size=(LESIONS, WIDTH))
    for study in range(2 + (patient % 5 < 2)):
        others = chance.normal(size=(PLACES - LESIONS, WIDTH))
        yield _study(chance, np.concatenate([lesions, others]), study % LESIONS)


def _study(
    chance: np.random.Generator, looks: NDArray[np.float64], marked: int
) -> tuple[SeriesDetections, NewAnnotation, NDArray[np.float32]]:
    lengths = chance.integers(2, 8, PLACES)
    firsts = chance.integers(0, SLICES - lengths)
    corners, sides = chance.uniform(20, 460, (PLACES, 2)), chance.uniform(8, 40, (PLACES, 1))
    places = np.concatenate([corners, corners + sides], axis=1)
    sure = chance.uniform(0.05, 0.95, (len(EXPERTS), PLACES))
    is_seen = chance.random((len(EXPERTS), PLACES)) > 0.3
    is_seen[-1] = True
    rows = np.asarray(
        [
            (expert, firsts[place] + k, place)
            for expert in range(len(EXPERTS))
            for place in np.flatnonzero(is_seen[expert])
            for k in range(lengths[place])
        ]
    )
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    expert, grid, place = rows.T
    fused = place[expert == len(EXPERTS) - 1]
    proposals = Proposals(
        EXPERTS,
        2.0,
        2.0,
        expert.astype(np.int16),
        grid.astype(np.int32),
        (places[place] + chance.normal(0, 0.5, (len(rows), 4))).astype(np.float32),
        np.clip(sure[expert, place] + chance.normal(0, 0.05, len(rows)), 0.05, 1.0).astype(np.float32),
        _unit(looks[fused] + chance.normal(0, 0.1, (len(fused), WIDTH))),
    )
    findings = tuple(finding for name in EXPERTS for finding in stack(proposals, name, SLICES))
    x1, y1, x2, y2 = (float(edge) for edge in places[marked])
    key = int(firsts[marked] + lengths[marked] // 2)
    whole = (x1, y1, float(key), x2, y2, float(key + 1))
    sections = (SliceBox(key, (x1, y1, x2, y2)),)
    mark = NewAnnotation(0, whole, sections, AnnotationRole.LABEL, AnnotationOrigin.DL_INFO, key_slice=key)
    return SeriesDetections(proposals, findings), mark, _unit(looks[marked][None])[0]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit.astype(np.float32)
