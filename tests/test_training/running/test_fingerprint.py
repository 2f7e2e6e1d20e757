from lens_training.running.fingerprint import fingerprint


def test_a_fingerprint_is_that_of_the_runs_that_are_on_disks_already():
    assert fingerprint("labels", {"steps": 4}, 0, None) == (
        "50a2243bfe9a2e9cf130390fb30f4c22721c607772770e50cd45dea7ef9ee548"
    )


def test_order_and_values_make_a_difference():
    assert len({fingerprint(*parts) for parts in ((1, 2), (2, 1), ((1, 2),), (1, None))}) == 4
