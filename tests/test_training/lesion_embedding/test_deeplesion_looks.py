from dataclasses import replace
from pathlib import Path

import pytest
from support.files.lesanet_files import label_values, write_label_files
from support.files.published_data import deeplesion_row, scene, write_deeplesion

from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import DeepLesionRow, read_table
from lens_training.errors import DatasetError
from lens_training.lesion_embedding.deeplesion_looks import presumed_lesions, report_looks, typed_looks
from lens_training.lesion_embedding.labels import read_report_labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write DeepLesion with three rows of one series: train, noisy, and train without a report."""
    rows = [deeplesion_row(), deeplesion_row(Possibly_noisy="1"), deeplesion_row(Coarse_lesion_type="5")]
    write_deeplesion(tmp_path / "data", scene(), rows=rows)
    return tmp_path / "data"


def split_of(folder: Path) -> Split:
    return read_table(folder / "DL_info.csv").rows[0].split


def labels_for(folder: Path, tmp_path: Path):
    split = split_of(folder).value
    values = label_values()
    for name in ("train", "val", "test"):
        values |= {f"{name}_{part}": [] for part in ("lesion_idxs", "relevant_labels", "uncertain_labels")}
    values |= {
        f"{split}_lesion_idxs": [0, 1, 2],
        f"{split}_relevant_labels": [[2, 1], [3], []],
        f"{split}_uncertain_labels": [[], [], []],
    }
    return read_report_labels(write_label_files(tmp_path / "labels", values))


def test_a_report_is_about_the_row_of_its_number_and_noisy_or_silent_ones_are_left_out(folder: Path, tmp_path: Path):
    (scan,) = report_looks(folder, labels_for(folder, tmp_path), split_of(folder))
    (look,) = scan.looks
    row = read_table(folder / "DL_info.csv").rows[0]
    assert (look.terms, look.box, look.scan) == ((1, 2), row.box, "000001_01_01")
    assert look.slice_index == row.key_slice - 39
    assert scan.load().geometry.shape == scene().geometry.shape


def test_without_reports_the_type_is_the_term_where_it_is_known(folder: Path):
    (scan,) = typed_looks(folder, (split_of(folder),))
    assert len(scan.looks) == 2
    assert scan.looks[1].terms == (4,)
    assert all(look.location is not None for look in scan.looks)


def test_a_folder_without_lesions_of_the_split_is_named(folder: Path):
    others = [split for split in Split if split is not split_of(folder)]
    with pytest.raises(DatasetError, match="has no scan of the lesions to learn from"):
        typed_looks(folder, others)


def test_near_places_in_two_studies_of_a_patient_are_presumed_to_be_one_lesion(folder: Path):
    row = read_table(folder / "DL_info.csv").rows[0]

    def variant(line: int, **changes: object) -> DeepLesionRow:
        return replace(row, line=line, location=(0.5, 0.5, 0.5), lesion_type=None, **changes)

    rows = [
        variant(2, study=1),
        replace(variant(3, study=2), location=(0.52, 0.5, 0.51)),
        replace(variant(4, study=2), location=(0.6, 0.5, 0.5)),
        replace(variant(5, study=1), location=(0.51, 0.5, 0.5)),
        variant(6, study=2, patient=row.patient + 1),
        replace(variant(7, study=3), lesion_type="liver"),
    ]
    names = [presumed_lesions(rows)[one] for one in rows]
    assert names[0] == names[1] == names[5]
    assert len({names[0], names[2], names[4]}) == 3
    assert names[3] == names[1]  # near the second, in another study
