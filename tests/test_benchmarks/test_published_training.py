import torch

from benchmarks.published_training import FINE_TUNING_STEPS, Outcome, options_of, trained


def test_a_small_network_stops_goes_on_and_is_fine_tuned(tmp_path):
    torch.set_num_threads(1)
    options = options_of(["--size", "narrow", "--side", "64", "--slices", "12", "--steps", "4"])
    outcome = trained(options, tmp_path)
    assert (len(outcome.losses), outcome.steps_before_stop) == (4, 2)
    assert len(outcome.fine_tuning) == FINE_TUNING_STEPS
    assert outcome.peak_gib > 0


def test_whether_it_learnt_is_told_by_the_first_and_the_last_quarter():
    def outcome(*losses: float) -> Outcome:
        return Outcome(list(losses), 1.0, 2, [], 1.0)

    assert outcome(3, 3, 2, 2, 2, 2, 1, 1).has_learnt
    assert not outcome(1, 1, 2, 2, 2, 2, 1, 2).has_learnt
