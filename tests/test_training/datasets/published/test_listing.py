import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.files.published_data import scene

from lens_engine.snapshot import SnapshotSource
from lens_training.datasets.published.listing import ListedScan, ListingCache


def test_processes_that_list_the_same_scan_do_it_once(tmp_path: Path):
    (tmp_path / "mask.nii").write_text("a mask", encoding="utf-8")
    made: list[int] = []

    def listed(number: int) -> ListedScan:
        def make() -> ListedScan:
            made.append(number)
            time.sleep(0.2)  # so that the others come meanwhile
            source = SnapshotSource(format="nifti", paths=(str(tmp_path / "scan.nii"),))
            return ListedScan(geometry=scene().geometry.as_dict(), source=source, lesions=())

        return ListingCache(tmp_path / "listing").get("scan", [tmp_path / "mask.nii"], make)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(listed, range(3)))
    assert len(made) == 1
    assert found[0] == found[1] == found[2]
