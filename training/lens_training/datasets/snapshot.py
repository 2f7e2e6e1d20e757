"""The training patients of a label snapshot."""

from collections.abc import Mapping
from pathlib import Path

from lens_engine.findings import Split
from lens_engine.io.series import SeriesFormat, SeriesSource
from lens_engine.snapshot import LabelSet, Snapshot, SnapshotSeries
from lens_training.datasets.case import Case, TrainingSet
from lens_training.datasets.published.listing import SeriesFiles


def training_set(snapshot: Snapshot, roots: Mapping[str, Path]) -> TrainingSet:
    """Return what the snapshot lets us learn from: series of the training split, never of another.

    Parameters
    ----------
    roots
        Folders of this machine for the named roots of the snapshot's paths.
    """
    return TrainingSet(
        cases=tuple(_case(series, roots) for series in snapshot.series if series.split is Split.TRAIN),
        scopes={name: snapshot.scope(name) for name in snapshot.experts},
        uses_unlabelled=snapshot.labels is not LabelSet.ORIGINAL,
    )


def _case(series: SnapshotSeries, roots: Mapping[str, Path]) -> Case:
    source = SeriesSource(SeriesFormat(series.source.format), series.source.resolve(roots), series.source.series_uid)
    geometry = series.volume_geometry
    files = SeriesFiles(series.name, source, geometry)
    return Case(
        name=series.name,
        patient=series.patient,
        dataset=series.dataset,
        split=series.split,
        geometry=geometry,
        lesions=series.lesions,
        load=files.load,
        files=files,
    )
