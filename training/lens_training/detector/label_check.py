"""A look at some labels before a training learns from all: whether they can be such lesions and are not mirrored."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from lens_engine.errors import GeometryError, SeriesError
from lens_training.datasets.label_voxels import LabelLook, look_on_middle_slice, suspicion, votes_for
from lens_training.detector.batches import BatchMaker
from lens_training.running.stopping import StopSignal

LOOKS = 40
"""Labels of each data set that are looked at, in as many scans; of fewer scans more labels each."""
WRONG_SHARE = 0.2
"""So many of the labels may be odd: some lesions are."""


def label_warnings(maker: BatchMaker, stop: StopSignal) -> Iterator[str]:
    """Yield what is wrong with the labels of a data set: more than a few lie on odd voxels, or most look mirrored.

    Scans that cannot be read are left to the batches. Phantoms are not looked at, nor are data sets that say nothing of
    their lesions.
    """
    for dataset in maker.training_set.scopes:
        looks = tuple(_looks(maker, dataset, stop))
        see = f"See: lens data check {dataset} FOLDER --voxels"
        yield from (f"{warning}. {see}" for warning in (*_odd(dataset, looks), *_mirrored(dataset, looks)))


def _odd(dataset: str, looks: Sequence[LabelLook]) -> Iterator[str]:
    odd = [look.value for look in looks if not look.value.is_plausible]
    if len(odd) > WRONG_SHARE * len(looks):
        lowest, highest = odd[0].plausible_hu
        yield (
            f"{len(odd)} of {len(looks)} labels of {dataset} that were looked at lie on voxels that can hardly be"
            f" such lesions, the first with a median of {odd[0].median_hu:.0f} HU where a lesion of the type"
            f" {odd[0].lesion_type or 'unknown'} has {lowest:.0f} to {highest:.0f}: masks may be flipped or headers"
            " wrong"
        )


def _mirrored(dataset: str, looks: Sequence[LabelLook]) -> Iterator[str]:
    suspected = suspicion(votes_for(looks))
    if suspected is not None:
        yield f"The labels of {dataset} look flipped: {suspected}; masks may be flipped or headers wrong"


def _looks(maker: BatchMaker, dataset: str, stop: StopSignal) -> Iterator[LabelLook]:
    cases = maker.training_set.cases
    known = [
        number
        for number in maker.plan.cases_in_use
        if cases[number].dataset == dataset and cases[number].facts and cases[number].files is not None
    ]
    scans = _spread(known, LOOKS)
    for number in scans:
        stop.check()
        labels = range(len(cases[number].lesions))
        try:
            read = lru_cache(maxsize=2)(maker.cache.planes(number).hounsfield)  # a label's slice and its mirror image
            for label in _spread(labels, -(-LOOKS // len(scans))):
                yield look_on_middle_slice(cases[number], label, read)
        except (SeriesError, GeometryError):
            continue


def _spread(numbers: Sequence[int], most: int) -> Sequence[int]:
    """Return some of the numbers, from the first on at even distances."""
    return numbers[:: max(len(numbers) // most, 1)][:most]
