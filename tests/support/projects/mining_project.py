"""A project whose scans were detected and whose annotations were embedded: all that mining reads, and no image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lens_engine.checkpoint_card import read_card
from lens_engine.findings import Scope, SliceBox, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.lesion_embedding.vector_files import VectorFiles
from lens_engine.mining.looks import SeriesVectors
from lens_engine.proposals import SeriesDetections
from lens_engine.stacking import stack
from lens_engine.store.annotations import AnnotationOrigin, AnnotationRole, Annotations, NewAnnotation
from lens_engine.store.catalog import Catalog, SeriesRecord
from lens_engine.store.database import Database
from lens_engine.store.detections import Detections
from lens_engine.store.models.lesion_embedding import embedding_folder
from support.measures.mining_cases import EXPERTS, Seen, look_alike, proposals
from support.projects.store_samples import new_series

SLICES = 60
STUDIES = 2
MARKED = (10.0, 50.0, 12.0, 30.0, 70.0, 13.0)
"""The lesion that is annotated on one slice of the first study of each patient, and seen on four of every study."""


def add_patients(database: Database, count: int, studies: int = STUDIES, lesions: int = 4) -> list[SeriesRecord]:
    """Add patients with studies in which experts see the marked lesion and others, detected with v1."""
    catalog = Catalog(database)
    if not catalog.datasets():
        catalog.add_dataset("universal", Scope.UNIVERSAL)
    chance = np.random.default_rng(0)
    records = []
    for patient in range(count):
        for study in range(studies):
            new = new_series(
                f"{patient}/{study}",
                patient_key=f"mined patient {patient}",
                geometry=VolumeGeometry((SLICES, 512, 512), (2.0, 1.0, 1.0)),
            )
            record, _ = catalog.add_series(new, "universal", Split.TRAIN)
            Detections(database).write(record.id, "v1", _detections(chance, patient, lesions))
            records.append(record)
    return records


def annotate(database: Database, records: Sequence[SeriesRecord]) -> None:
    """Mark the lesion of `MARKED` in each first study of a patient."""
    x1, y1, z1, x2, y2, _ = MARKED
    sections = (SliceBox(int(z1), (x1, y1, x2, y2)),)
    first = {record.patient_id: record.id for record in reversed(records)}
    label, drawn = AnnotationRole.LABEL, AnnotationOrigin.DRAWN
    Annotations(database).add(
        [NewAnnotation(number, MARKED, sections, label, drawn, key_slice=int(z1)) for number in first.values()]
    )


def embed_annotations(database: Database, records: Sequence[SeriesRecord], job_folder: Path) -> None:
    """Leave in the folder of a job what its embedding steps would: lesions of one patient look alike."""
    files = vector_files(database, job_folder)
    patients = list(dict.fromkeys(record.patient_id for record in records))
    for record in records:
        ids = [note.id for note in Annotations(database).of_series(record.id, AnnotationRole.LABEL)]
        looks = {number: look_alike(_degrees(patients.index(record.patient_id))) for number in ids}
        seen = Detections(database).read(record.id, "v1").proposals.embeddings
        files.write(str(record.id), SeriesVectors(looks, {}, np.arange(len(seen)), seen))


def vector_files(database: Database, job_folder: Path) -> VectorFiles:
    """Return the files of what the network of the project embeds in a job, with the boxes of v1."""
    network = read_card(embedding_folder(database.project)).weights_digest
    return VectorFiles(job_folder / "embeddings", network, "v1")


def _detections(chance: np.random.Generator, patient: int, lesions: int) -> SeriesDetections:
    x, _, z, _, _, _ = MARKED
    seen = [Seen(x, range(int(z) - 1, int(z) + 3), {"universal": 0.7}, _degrees(patient))]
    for number in range(1, lesions):
        first, length = int(chance.integers(0, SLICES - 8)), int(chance.integers(2, 8))
        scores = {name: float(score) for name, score in zip(EXPERTS, chance.uniform(0.1, 0.9, 3), strict=False)}
        seen.append(Seen(x + 25.0 * number, range(first, first + length), scores, float(chance.uniform(180, 360))))
    boxes = proposals(seen)
    return SeriesDetections(boxes, tuple(finding for expert in EXPERTS for finding in stack(boxes, expert, SLICES)))


def _degrees(patient: int) -> float:
    return 17.0 * patient % 180
