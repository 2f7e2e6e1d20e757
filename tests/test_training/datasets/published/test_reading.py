from pathlib import Path

import pytest
from pydantic import ValidationError

from lens_engine.findings import Scope, Split
from lens_training.datasets.published.reading import DatasetName, Effect, Ledger, Oddity, ReadingOptions

NAMES = [f"scan-{number}" for number in range(2000)]


def held_out(options: ReadingOptions) -> set[str]:
    return {name for name in NAMES if options.split_of(name) is Split.TEST}


def test_a_fifth_of_the_scans_is_held_out():
    assert len(held_out(ReadingOptions())) == pytest.approx(400, abs=60)


def test_the_split_of_a_scan_depends_on_its_name_and_the_seed_alone():
    assert held_out(ReadingOptions()) == held_out(ReadingOptions(tight_margin_voxels=0))
    assert held_out(ReadingOptions()) != held_out(ReadingOptions(seed=1))
    assert [name for name in NAMES[:20] if ReadingOptions().split_of(name) is Split.TEST] == [
        "scan-1", "scan-4", "scan-8", "scan-11", "scan-12",
    ]  # fmt: skip


def test_a_smaller_share_holds_out_a_part_of_the_same_scans():
    assert held_out(ReadingOptions(held_out_share=0.1)) < held_out(ReadingOptions())


@pytest.mark.parametrize("wrong", [{"held_out_share": 1.0}, {"test_fold": 10}, {"tight_margin_voxels": -1}, {"sed": 3}])
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        ReadingOptions.model_validate(wrong)


def test_only_deeplesion_is_universal():
    assert [name for name in DatasetName if name.scope is Scope.UNIVERSAL] == [DatasetName.DEEPLESION]


def test_a_ledger_counts_what_was_skipped_and_names_places_below_its_folder():
    ledger = Ledger(Path("/data"))
    ledger.skip(Path("/data/a/1.png"), Oddity.BROKEN_FILE, "cut off")
    ledger.keep("table.csv line 3", Oddity.BROKEN_ROW, "odd")
    ledger.skip(Path("/elsewhere/2.png"), Oddity.BROKEN_FILE, "cut off")
    ledger.leave_out("noisy", 4)
    ledger.leave_out("small", 0)
    assert [item.place for item in ledger.odd] == ["a/1.png", "table.csv line 3", "/elsewhere/2.png"]
    assert [item.effect for item in ledger.odd] == [Effect.SKIPPED, Effect.KEPT, Effect.SKIPPED]
    assert ledger.skipped == {"file that cannot be read": 2, "noisy": 4}
