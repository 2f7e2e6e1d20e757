"""What terms of radiology reports say about lesions of DeepLesion: the public label files of LesaNet (algorithms 5.8).

`text_mined_labels_171_and_split.json` lists lesions by their row in DL_info.csv, from 0, and their terms by number;
`lesion_ontology_181022.xlsx` says which terms are parents of which, and which exclude each other.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lens_engine.errors import AnnotationFileError
from lens_engine.findings import Split
from lens_training.lesion_embedding.looks import Look
from lens_training.lesion_embedding.spreadsheet import read_spreadsheet

LABELS_NAME = "text_mined_labels_171_and_split.json"
ONTOLOGY_NAME = "lesion_ontology_181022.xlsx"

_TERM, _EXCLUSIVE, _PARENTS = 2, 5, 6
"""Columns of the ontology."""
_SEPARATOR = " | "


@dataclass(frozen=True, slots=True, eq=False)
class Ontology:
    """Terms and how they hang together.

    Attributes
    ----------
    terms
        Their names; everything else is in this order.
    is_parent
        bool (terms, terms): whether the column's term is a parent of the row's.
    is_exclusive
        bool (terms, terms), symmetric: whether two terms never hold together; closed under parents and children.
    """

    terms: tuple[str, ...]
    is_parent: NDArray[np.bool_]
    is_exclusive: NDArray[np.bool_]

    @classmethod
    def of_pairs(
        cls, terms: Sequence[str], parents: Sequence[tuple[int, int]], exclusive: Sequence[tuple[int, int]]
    ) -> "Ontology":
        """Return the ontology of (child, parent) pairs and of pairs that exclude each other.

        What excludes a term excludes its children as well.
        """
        count = len(terms)
        is_parent, apart = np.zeros((count, count), dtype=np.bool_), np.zeros((count, count), dtype=np.bool_)
        for child, parent in parents:
            is_parent[child, parent] = True
        for one, other in exclusive:
            apart[one, other] = apart[other, one] = True
        while True:
            inherited = is_parent @ apart
            wider = apart | inherited | inherited.T
            if (wider == apart).all():
                return cls(tuple(terms), is_parent, apart)
            apart = wider

    @classmethod
    def of_types(cls, types: Sequence[str]) -> "Ontology":
        """Return an ontology of which a lesion is always exactly one."""
        count = len(types)
        return cls(tuple(types), np.zeros((count, count), dtype=np.bool_), ~np.eye(count, dtype=np.bool_))

    def open_terms(self, said: Sequence[int], uncertain: Sequence[int]) -> tuple[int, ...]:
        """Return which terms may hold beside those that are said: the uncertain ones and their parents.

        What is excluded by a term that is said does not hold.
        """
        may = np.zeros(len(self.terms), dtype=np.bool_)
        may[list(uncertain)] = True
        may |= self.is_parent[list(uncertain)].any(axis=0)
        may &= ~self.is_exclusive[list(said)].any(axis=0)
        may[list(said)] = False
        return tuple(np.flatnonzero(may).tolist())

    def targets(self, looks: Sequence[Look]) -> tuple[Tensor, Tensor, Tensor]:
        """Return which terms are said of looks, which are certain, and which are reliable; see `LookBatch`."""
        said = np.zeros((len(looks), len(self.terms)), dtype=np.float32)
        certain = np.ones_like(said)
        for row, look in enumerate(looks):
            said[row, list(look.terms)] = 1
            certain[row, list(look.uncertain)] = 0
        reliable = np.maximum(said, (said @ self.is_exclusive > 0).astype(np.float32))
        return torch.from_numpy(said), torch.from_numpy(certain), torch.from_numpy(reliable)


@dataclass(frozen=True, slots=True)
class LesionTerms:
    """The terms of one lesion by their numbers: those that are said, and those that may hold."""

    said: tuple[int, ...]
    uncertain: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ReportLabels:
    """All that reports say.

    Attributes
    ----------
    of_row
        Terms of lesions, for each split by their row in DL_info.csv, from 0.
    """

    ontology: Ontology
    of_row: Mapping[Split, Mapping[int, LesionTerms]]


def read_report_labels(folder: Path) -> ReportLabels:
    """Read both public files, as they come in the folder `program_data` of LesaNet.

    In training what a report is uncertain about counts as said.

    Raises
    ------
    AnnotationFileError
        If a file is missing, or is not the version this code knows; the message says what differs.
    """
    path = folder / LABELS_NAME
    values = _read_json(path)
    terms = values.get("term_list")
    if not isinstance(terms, list) or not all(isinstance(term, str) for term in terms) or not terms:
        raise _other_version(path, f"it has no list of terms, but {', '.join(sorted(values)) or 'nothing'}")
    ontology = _read_ontology(folder / ONTOLOGY_NAME, terms)
    of_row = {split: _split_of(values, split, ontology, path) for split in Split}
    return ReportLabels(ontology, of_row)


def _split_of(values: Mapping[str, Any], split: Split, ontology: Ontology, path: Path) -> dict[int, LesionTerms]:
    names = [f"{split.value}_{part}" for part in ("lesion_idxs", "relevant_labels", "uncertain_labels")]
    missing = [name for name in names if not isinstance(values.get(name), list)]
    if missing:
        raise _other_version(path, f"{', '.join(missing)} is missing")
    rows, relevant, uncertain = (values[name] for name in names)
    lengths = {len(rows), len(relevant), len(uncertain)}
    if len(lengths) > 1:
        raise _other_version(path, f"{', '.join(names)} have {len(rows)}, {len(relevant)} and {len(uncertain)} entries")
    found: dict[int, LesionTerms] = {}
    for row, said, open_ones in zip(rows, relevant, uncertain, strict=True):
        numbers = [row, *said, *open_ones]
        if not all(isinstance(number, int) and number >= 0 for number in numbers):
            raise _other_version(path, f"an entry of {names[0]} or its terms are no numbers from 0: {numbers}")
        unknown = [number for number in (*said, *open_ones) if number >= len(ontology.terms)]
        if unknown:
            raise _other_version(path, f"lesion {row} has the term {unknown[0]} of {len(ontology.terms)}")
        positive = sorted({*said, *open_ones} if split is Split.TRAIN else set(said))
        found[row] = LesionTerms(tuple(positive), ontology.open_terms(positive, open_ones))
    return found


def _read_ontology(path: Path, terms: Sequence[str]) -> Ontology:
    number = {term: place for place, term in enumerate(terms)}
    rows = {row[_TERM]: row for row in read_spreadsheet(path, _PARENTS + 1)[1:]}
    missing = [term for term in terms if term not in rows]
    if missing:
        raise _other_version(path, f"it lacks {len(missing)} of {len(terms)} terms, among them {missing[0]!r}")
    pairs: dict[int, list[tuple[int, int]]] = {_PARENTS: [], _EXCLUSIVE: []}
    for term in terms:
        for column, found in pairs.items():
            others = rows[term][column].split(_SEPARATOR)
            found += [(number[term], number[other]) for other in others if other in number]
    return Ontology.of_pairs(terms, pairs[_PARENTS], pairs[_EXCLUSIVE])


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnnotationFileError(
            f"The labels {path} cannot be read ({error.strerror})",
            f"{LABELS_NAME} and {ONTOLOGY_NAME} of LesaNet are needed",
            "Name the folder that holds both, or choose a recipe without report terms",
        ) from error
    except ValueError as error:
        raise _other_version(path, f"it is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise _other_version(path, f"it holds a {type(values).__name__}")
    return values


def _other_version(path: Path, what: str) -> AnnotationFileError:
    return AnnotationFileError(
        f"{path} is not the file this version knows: {what}",
        f"{LABELS_NAME} and {ONTOLOGY_NAME} as they came with LesaNet",
        "Download both again, into one folder",
    )
