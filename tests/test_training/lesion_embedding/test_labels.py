from pathlib import Path

import numpy as np
import pytest
from support.files.lesanet_files import ONTOLOGY, TERMS, label_values, write_label_files, write_spreadsheet

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Split
from lens_training.lesion_embedding.labels import LABELS_NAME, ONTOLOGY_NAME, LesionTerms, Ontology, read_report_labels
from lens_training.lesion_embedding.looks import Look
from lens_training.lesion_embedding.spreadsheet import read_spreadsheet

CHEST, LUNG, LEFT, ABDOMEN, LIVER = range(5)


def test_terms_parents_and_exclusive_terms_are_read_and_inherited(tmp_path: Path):
    ontology = read_report_labels(write_label_files(tmp_path)).ontology
    assert ontology.terms == TERMS
    assert np.argwhere(ontology.is_parent).tolist() == [[LUNG, CHEST], [LEFT, CHEST], [LEFT, LUNG], [LIVER, ABDOMEN]]
    # Chest and abdomen exclude each other, and so do all that belong to them.
    expected = np.zeros((5, 5), dtype=bool)
    expected[:3, 3:] = expected[3:, :3] = True
    np.testing.assert_array_equal(ontology.is_exclusive, expected)


def test_in_training_what_a_report_is_uncertain_about_counts_as_said(tmp_path: Path):
    values = label_values() | {"train_uncertain_labels": [[], [2]], "train_relevant_labels": [[2, 1, 0], [4]]}
    labels = read_report_labels(write_label_files(tmp_path, values))
    assert labels.of_row[Split.TRAIN] == {0: LesionTerms((0, 1, 2), ()), 1: LesionTerms((LEFT, LIVER), ())}


def test_elsewhere_it_is_open_with_its_parents_unless_it_is_excluded(tmp_path: Path):
    values = label_values() | {"val_relevant_labels": [[]], "val_uncertain_labels": [[LEFT]]}
    assert read_report_labels(write_label_files(tmp_path / "a", values)).of_row[Split.VAL] == {
        2: LesionTerms((), (CHEST, LUNG, LEFT))
    }
    said = read_report_labels(write_label_files(tmp_path / "b")).of_row[Split.VAL]
    assert said == {2: LesionTerms((ABDOMEN,), (LIVER,))}  # the left lung is not in the abdomen


def test_targets_tell_what_is_said_certain_and_reliable(tmp_path: Path):
    ontology = read_report_labels(write_label_files(tmp_path)).ontology
    look = Look(slice_index=0, box=(0, 0, 1, 1), scan="a", lesion="a", terms=(ABDOMEN,), uncertain=(LIVER,))
    said, certain, reliable = (part[0].tolist() for part in ontology.targets([look]))
    assert said == [0, 0, 0, 1, 0]
    assert certain == [1, 1, 1, 1, 0]
    assert reliable == [1, 1, 1, 1, 0]


def test_of_types_each_excludes_all_others():
    assert Ontology.of_types(("a", "b")).is_exclusive.tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"term_list": None}, "it has no list of terms, but"),
        ({"val_relevant_labels": None}, "val_relevant_labels is missing"),
        ({"val_lesion_idxs": [2, 3]}, "have 2, 1 and 1 entries"),
        ({"train_relevant_labels": [[2, 7], []]}, "lesion 0 has the term 7 of 5"),
        ({"train_relevant_labels": [["lung"], []]}, "are no numbers from 0: [0, 'lung']"),
    ],
)
def test_a_label_file_of_another_version_is_named_with_what_differs(tmp_path: Path, change, problem):
    with pytest.raises(AnnotationFileError) as caught:
        read_report_labels(write_label_files(tmp_path, label_values() | change))
    assert problem in caught.value.happened
    assert LABELS_NAME in caught.value.happened


def test_an_ontology_that_lacks_a_term_is_named_with_it(tmp_path: Path):
    with pytest.raises(AnnotationFileError, match=f"{ONTOLOGY_NAME}.*lacks 1 of 5 terms, among them 'liver'"):
        read_report_labels(write_label_files(tmp_path, ontology=ONTOLOGY[:4]))


def test_missing_and_broken_files_are_named(tmp_path: Path):
    with pytest.raises(AnnotationFileError, match="cannot be read"):
        read_report_labels(tmp_path)
    write_label_files(tmp_path)
    (tmp_path / ONTOLOGY_NAME).write_bytes(b"no archive")
    with pytest.raises(AnnotationFileError, match=f"spreadsheet .*{ONTOLOGY_NAME} cannot be read"):
        read_report_labels(tmp_path)
    (tmp_path / LABELS_NAME).write_text("{")
    with pytest.raises(AnnotationFileError, match="is no JSON"):
        read_report_labels(tmp_path)


def test_a_spreadsheet_is_read_with_its_empty_cells(tmp_path: Path):
    write_spreadsheet(tmp_path / "a.xlsx", [("a", "", "c & d"), ("", "e", "")])
    assert read_spreadsheet(tmp_path / "a.xlsx", 3) == [("a", "", "c & d"), ("", "e", "")]
