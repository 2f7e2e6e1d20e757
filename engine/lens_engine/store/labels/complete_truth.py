"""The lesions of one completely annotated series with their cross-sections: what boxes on it can be compared with."""

from dataclasses import dataclass

from lens_engine.findings import Box3D, SliceBox, slices_of_box
from lens_engine.store.annotations import Annotations
from lens_engine.store.catalog import Catalog
from lens_engine.store.database import Database
from lens_engine.store.decisions import Decisions
from lens_engine.store.labels.completeness import lesions_on_one_slice, true_boxes
from lens_engine.store.readings.truth import read_series


@dataclass(frozen=True, slots=True)
class TrueLesion:
    """A lesion that is known in 3D.

    Attributes
    ----------
    slices
        Cross-sections of `box`, ascending.
    """

    box: Box3D
    slices: tuple[SliceBox, ...]


def complete_truth(database: Database, series_id: int) -> tuple[TrueLesion, ...] | None:
    """Return every lesion of a series, or None where a detector is not measured on it.

    That is where it is not marked complete, where one of its lesions is annotated on one slice only, where two readings
    of it differ, and while it has one reading alone, which a second reader must not see.

    Raises
    ------
    StoreError
        If there is no such series.
    """
    if not Catalog(database).series(series_id).is_complete:
        return None
    with database.reading() as session:
        read = read_series(session, [series_id]).get(series_id)
    if read is not None and not read.is_settled:
        return None
    decisions = Decisions(database).current(series_id) if read is None else read.truth
    annotations = Annotations(database).of_series(series_id)
    if lesions_on_one_slice(annotations, decisions):
        return None
    known = {item.decision.box: item.decision.slices for item in decisions}
    known |= {item.box: item.slices for item in annotations}
    return tuple(TrueLesion(box, known[box] or slices_of_box(box)) for box in true_boxes(annotations, decisions))
