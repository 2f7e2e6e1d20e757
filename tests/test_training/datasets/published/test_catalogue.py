from pathlib import Path

import pytest

from lens_training.datasets.published.catalogue import DatasetName, dataset_folder
from lens_training.errors import DatasetError

NAMES = {
    DatasetName.DEEPLESION: ("deeplesion", "DeepLesion"),
    DatasetName.LUNA16: ("luna16", "LUNA16"),
    DatasetName.LITS: ("lits", "LITS", "LiTS"),
    DatasetName.NIH_LN: ("nih-ln", "NIH-LN", "CT Lymph Nodes", "CT-Lymph-Nodes"),
}


@pytest.mark.parametrize(("dataset", "name"), [(dataset, name) for dataset, names in NAMES.items() for name in names])
def test_a_data_set_is_found_under_the_name_of_its_download_and_ours(tmp_path: Path, dataset: DatasetName, name: str):
    for other in ("Lymph Nodes", "lits-old", "LUNA", "DeepLesion.zip"):
        (tmp_path / other).mkdir()
    assert dataset_folder(tmp_path, dataset) is None
    (tmp_path / name).mkdir()
    assert dataset_folder(tmp_path, dataset) == tmp_path / name


def test_two_folders_of_one_data_set_are_refused_by_name(tmp_path: Path):
    for name in ("nih-ln", "CT Lymph Nodes"):
        (tmp_path / name).mkdir()
    with pytest.raises(DatasetError, match="CT Lymph Nodes and nih-ln, which are both nih-ln"):
        dataset_folder(tmp_path, DatasetName.NIH_LN)


def test_a_file_is_no_data_set(tmp_path: Path):
    (tmp_path / "LITS").write_text("not unpacked yet", encoding="utf-8")
    assert dataset_folder(tmp_path, DatasetName.LITS) is None
