from benchmarks.review.labels import reviewed_project
from lens_engine.snapshot import LabelSet
from lens_engine.store.labels.snapshots import Snapshots, counts_of


def test_the_reviewed_project_has_something_of_everything_and_one_truth_about_it():
    with reviewed_project(10) as database:
        counts = Snapshots(database).counts(LabelSet.CURATED)
        assert counts == counts_of(Snapshots(database).compose(LabelSet.CURATED))
    assert {"annotations", "mined", "accepted", "unsure (ignored)", "rejected"} <= counts.keys()
