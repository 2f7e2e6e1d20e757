"""What mining reads is refused where it would silently give wrong labels."""

from dataclasses import replace

import numpy as np
import pytest
from support.measures.mining_cases import Seen, annotation, proposals, series

from lens_engine.errors import BoxError
from lens_engine.mining.calibration import CalibratedLimit
from lens_engine.mining.candidates import mine
from lens_engine.mining.settings import MiningSettings

LESION = Seen(0, range(3), {"universal": 0.5}, look=0)


def test_an_annotation_beyond_the_last_slice_is_refused_by_its_number() -> None:
    assert series([], (annotation(7, 0, 59),)).slices == 60
    with pytest.raises(BoxError, match=r"Annotation 7 lies on the slices 60 to 60 of series 3") as refused:
        series([], (annotation(7, 0, 60),), number=3)
    assert "0 to 59" in str(refused.value)


def test_a_decided_lesion_beyond_the_last_slice_is_refused_by_its_number() -> None:
    with pytest.raises(BoxError, match=r"Decision 7 lies on the slices 60 to 60 of series 3"):
        replace(series([], number=3), decided=(annotation(7, 0, 60),))


def test_an_annotation_that_sticks_out_of_the_scan_is_taken() -> None:
    whole = replace(annotation(7, -500, 0), box=(-500.0, 0.0, -3.0, 5.0, 5.0, 2.0), slices=(), key_slice=None)
    assert series([], (whole,)).annotations == (whole,)


def test_embeddings_of_two_models_are_refused_within_a_series_and_between_series() -> None:
    other = replace(annotation(7, 0, 1), embedding=np.ones(5, dtype=np.float32))
    with pytest.raises(BoxError, match="length 2 and 5"):
        series([LESION], (other,))
    inputs = [series([], (other,), number=1), series([], (annotation(8, 0, 1, look=0),), number=2)]
    with pytest.raises(BoxError, match="length 5 and 2"):
        mine(inputs, MiningSettings(), CalibratedLimit(0.15, 1, True, ""))


def test_copies_on_another_grid_are_refused() -> None:
    one = series([LESION])
    assert len(replace(one, augmented=(proposals([LESION]),)).augmented) == 1
    with pytest.raises(BoxError, match=r"series 1 have grid and slice spacings of .*5\.0"):
        replace(one, augmented=(proposals([LESION], slice_mm=5.0),))
