"""The training patients of a label snapshot."""

from collections.abc import Mapping
from pathlib import Path

from lens_engine.errors import SeriesError
from lens_engine.findings import Split
from lens_engine.io.series import SeriesFormat, SeriesSource, read_volume
from lens_engine.snapshot import LabelSet, Snapshot, SnapshotSeries
from lens_engine.volume import Volume
from lens_training.datasets.case import Case, TrainingSet


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

    def load() -> Volume:
        volume = read_volume(source)
        if volume.geometry.shape != geometry.shape:
            raise SeriesError(
                f"Series {series.name} has the shape {volume.geometry.shape}",
                f"The labels were made for {geometry.shape}",
                "Restore the scan, or add it again and freeze the labels anew",
            )
        return volume

    return Case(
        name=series.name,
        patient=series.patient,
        dataset=series.dataset,
        split=series.split,
        geometry=geometry,
        lesions=series.lesions,
        load=load,
    )
