"""A look at some labels before a training learns from all: whether they lie on voxels that can be such lesions."""

from collections.abc import Iterator

from lens_engine.errors import GeometryError, SeriesError
from lens_training.datasets.label_voxels import LabelValue, value_on_middle_slice
from lens_training.detector.batches import BatchMaker
from lens_training.running.stopping import StopSignal

LOOKS = 20
"""Scans of each data set that are looked at, one label in each."""
WRONG_SHARE = 0.2
"""So many of the labels may be odd: some lesions are."""


def label_warnings(maker: BatchMaker, stop: StopSignal) -> Iterator[str]:
    """Yield what is wrong with the labels of a data set, for each where more than a few lie on odd voxels.

    Scans that cannot be read are left to the batches. Phantoms are not looked at, nor are data sets that say nothing of
    their lesions.
    """
    for dataset in maker.training_set.scopes:
        values = [value for value in _values(maker, dataset, stop) if value is not None]
        odd = [value for value in values if not value.is_plausible]
        if len(odd) > WRONG_SHARE * len(values):
            lowest, highest = odd[0].plausible_hu
            yield (
                f"{len(odd)} of {len(values)} labels of {dataset} that were looked at lie on voxels that can hardly be"
                f" such lesions, the first with a median of {odd[0].median_hu:.0f} HU where a lesion of the type"
                f" {odd[0].lesion_type or 'unknown'} has {lowest:.0f} to {highest:.0f}: masks may be flipped or headers"
                f" wrong. See: lens data check {dataset} FOLDER --voxels"
            )


def _values(maker: BatchMaker, dataset: str, stop: StopSignal) -> Iterator[LabelValue | None]:
    cases = maker.training_set.cases
    known = [
        number
        for number in maker.plan.cases_in_use
        if cases[number].dataset == dataset and cases[number].facts and cases[number].files is not None
    ]
    for number in known[:: max(len(known) // LOOKS, 1)][:LOOKS]:
        stop.check()
        try:
            yield value_on_middle_slice(cases[number], 0, maker.cache.planes(number).inside)
        except (SeriesError, GeometryError):
            yield None
