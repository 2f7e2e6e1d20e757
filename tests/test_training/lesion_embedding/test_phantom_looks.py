import numpy as np
import pytest

from lens_engine.phantom.patient import TRAIN_SEEDS, UNIVERSAL, PhantomSettings, make_patient
from lens_training.lesion_embedding.phantom_looks import TYPES, training_looks
from lens_training.recipes.lesion_embedding import EmbeddingPhantoms

RECIPE = EmbeddingPhantoms(patients=1, val_patients=2, studies=2, places=5)


@pytest.fixture(scope="module")
def scans():
    return list(training_looks(RECIPE))


def test_every_lesion_is_seen_in_every_study_with_its_type(scans):
    patient = make_patient(TRAIN_SEEDS[0], UNIVERSAL, PhantomSettings())
    for scan, series in zip(scans, patient.series, strict=True):
        seen = {look.lesion: TYPES[look.terms[0]] for look in scan.looks if look.terms}
        assert seen == {f"{TRAIN_SEEDS[0]} {lesion.key}": lesion.lesion_type for lesion in series.lesions}


def test_looks_lie_on_the_middle_slices_in_the_box_with_its_margin(scans):
    series = make_patient(TRAIN_SEEDS[0], UNIVERSAL, PhantomSettings()).series[0]
    for lesion in series.lesions:
        looks = [look for look in scans[0].looks if look.lesion.endswith(lesion.key)]
        slices = [look.slice_index for look in looks]
        assert lesion.box[2] <= min(slices) <= max(slices) < lesion.box[5]
        whole = lesion.box[5] - lesion.box[2]
        assert 0.5 * whole <= len(slices) <= whole
        section = next(part for part in lesion.slices if part.slice_index == slices[0])
        np.testing.assert_allclose(np.asarray(looks[0].box) - section.box, [-5, -5, 5, 5])


def test_a_place_is_the_same_anatomy_in_both_studies_and_no_lesion(scans):
    first, second = ({look.lesion: look for look in scan.looks if not look.terms} for scan in scans)
    shared = sorted(first.keys() & second.keys())
    assert len(shared) >= 4
    for name in shared:
        np.testing.assert_allclose(first[name].location, second[name].location, atol=0.01)
    for scan, looks in zip(scans, (first, second), strict=True):
        lesions = [look for look in scan.looks if look.terms]
        for look in looks.values():
            assert all(
                abs(other.slice_index - look.slice_index) > 1 or _are_apart(look.box, other.box) for other in lesions
            )


def test_the_same_recipe_gives_the_same_looks(scans):
    again = next(training_looks(RECIPE))
    assert again.looks == scans[0].looks
    np.testing.assert_array_equal(again.load().voxels, scans[0].load().voxels)


def _are_apart(one, other) -> bool:
    return one[2] < other[0] + 8 or other[2] < one[0] + 8 or one[3] < other[1] + 8 or other[3] < one[1] + 8
