"""The public label files of LesaNet in their layout, with five terms and a few lesions."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from lens_training.lesion_embedding.labels import LABELS_NAME, ONTOLOGY_NAME

TERMS = ("chest", "lung", "left lung", "abdomen", "liver")
ONTOLOGY: tuple[tuple[str, str, str], ...] = (
    ("chest", "abdomen", ""),
    ("lung", "", "chest"),
    ("left lung", "", "lung | chest"),
    ("abdomen", "chest", ""),
    ("liver", "", "abdomen"),
    ("term of no lesion", "", ""),
)
"""Term, terms it excludes, and parents."""


def label_values() -> dict[str, object]:
    return {
        "term_list": list(TERMS),
        "train_lesion_idxs": [0, 1],
        "train_relevant_labels": [[2, 1, 0], [4, 3]],
        "train_uncertain_labels": [[], [4]],
        "train_irrelevant_labels": [[], []],
        "val_lesion_idxs": [2],
        "val_relevant_labels": [[3]],
        "val_uncertain_labels": [[2, 4]],
        "test_lesion_idxs": [],
        "test_relevant_labels": [],
        "test_uncertain_labels": [],
    }


def write_label_files(
    folder: Path,
    values: Mapping[str, object] | None = None,
    ontology: Sequence[tuple[str, str, str]] = ONTOLOGY,
) -> Path:
    """Write both files into a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LABELS_NAME).write_text(json.dumps(label_values() if values is None else values))
    rows = [("id", "class", "term", "synonyms", "count", "exclusive", "parents", "children")]
    rows += [("1", "bodypart", term, term, "9", exclusive, parents, "") for term, exclusive, parents in ontology]
    write_spreadsheet(folder / ONTOLOGY_NAME, rows)
    return folder


def write_spreadsheet(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write an .xlsx file as spreadsheet programs do: texts in a list of their own, empty cells left out."""
    texts = sorted({cell for row in rows for cell in row if cell})
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = "".join(
            f'<c r="{chr(ord("A") + column)}{number}" t="s"><v>{texts.index(cell)}</v></c>'
            for column, cell in enumerate(row)
            if cell
        )
        lines.append(f'<row r="{number}">{cells}</row>')
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{space}">{strings}</sst>')
        sheet = f'<worksheet xmlns="{space}"><sheetData>{"".join(lines)}</sheetData></worksheet>'
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
