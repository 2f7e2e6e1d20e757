"""Looks at the lesions of DeepLesion on their key slices, with the terms of their reports or without (algorithms 5.8).

Noisy rows are left out, as the authors do, and with the label files those without a term. Without the files lesions
of one patient in two studies whose places in the body are near, and whose types do not differ, are presumed to be one.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import FILE_NAME, LESION_TYPES, DeepLesionRow, read_table
from lens_engine.progress import ProgressCallback
from lens_training.datasets.case import Case
from lens_training.datasets.published import deeplesion
from lens_training.errors import DatasetError
from lens_training.lesion_embedding.labels import LesionTerms, ReportLabels
from lens_training.lesion_embedding.looks import Look, ScanLooks

SAME_LESION_DISTANCE = 0.05
"""Between the normalised places of what is presumed to be one lesion in two studies."""


def report_looks(
    folder: Path, labels: ReportLabels, split: Split = Split.TRAIN, on_progress: ProgressCallback | None = None
) -> tuple[ScanLooks, ...]:
    """Return the looks at the lesions of one split that a report says something about.

    Raises
    ------
    DatasetError
        If the folder holds no DeepLesion, or none of these lesions.
    AnnotationFileError
        If the labels name lesions that the table does not have.
    """
    rows, cases = _read(folder, on_progress)
    terms = labels.of_row[split]
    chosen = {number: terms[number] for number in sorted(terms) if number in rows and terms[number].said}
    return _looks(cases, {rows[number]: said for number, said in chosen.items()}, {}, folder)


def typed_looks(
    folder: Path, splits: Iterable[Split] = (Split.TRAIN,), on_progress: ProgressCallback | None = None
) -> tuple[ScanLooks, ...]:
    """Return the looks at the lesions of some splits with their coarse type as the one term, where it is known.

    Raises
    ------
    DatasetError
        If the folder holds no DeepLesion, or no lesion of these splits.
    """
    table, cases = _read(folder, on_progress)
    rows = [row for row in table.values() if row.split in set(splits)]
    terms = {row: _type_of(row) for row in rows}
    return _looks(cases, terms, presumed_lesions(rows), folder)


def presumed_lesions(rows: Sequence[DeepLesionRow]) -> dict[DeepLesionRow, str]:
    """Return a name for the lesion of each row; equal names are presumed to be one lesion in several studies."""
    numbers: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        numbers.setdefault(row.patient, []).append(number)
    pairs = [
        (one, other)
        for own in numbers.values()
        for place, one in enumerate(own)
        for other in own[place + 1 :]
        if _is_presumed_same(rows[one], rows[other])
    ]
    first, second = np.asarray(pairs, dtype=np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(rows), len(rows)))
    names = connected_components(graph, directed=False)[1].tolist()
    return {row: f"lesion {name}" for row, name in zip(rows, names, strict=True)}


def _is_presumed_same(one: DeepLesionRow, other: DeepLesionRow) -> bool:
    if one.study == other.study:
        return False
    apart = float(np.linalg.norm(np.subtract(one.location, other.location)))
    return apart < SAME_LESION_DISTANCE and (
        one.lesion_type == other.lesion_type or None in (one.lesion_type, other.lesion_type)
    )


def _type_of(row: DeepLesionRow) -> LesionTerms:
    return LesionTerms(() if row.lesion_type is None else (LESION_TYPES.index(row.lesion_type),), ())


def _read(folder: Path, on_progress: ProgressCallback | None) -> tuple[dict[int, DeepLesionRow], tuple[Case, ...]]:
    """Return the sound rows of the table by their number, from 0, and the cases."""
    cases = deeplesion.read(folder, on_progress=on_progress).cases
    table = read_table(folder / FILE_NAME)
    return {row.line - 2: row for row in table.rows if not row.is_noisy}, cases


def _looks(
    cases: Sequence[Case],
    terms: Mapping[DeepLesionRow, LesionTerms],
    lesions: Mapping[DeepLesionRow, str],
    folder: Path,
) -> tuple[ScanLooks, ...]:
    of_series: dict[str, list[DeepLesionRow]] = {}
    for row in terms:
        of_series.setdefault(row.series_name, []).append(row)
    scans = []
    for case in cases:
        geometry = case.geometry
        held = [
            (row, geometry.slice_index(row.key_slice))
            for row in of_series.get(case.scan or case.name, [])
            if 0 <= geometry.slice_index(row.key_slice) < geometry.shape[0]
        ]
        looks = tuple(
            Look(
                slice_index=key_slice,
                box=row.box,
                scan=row.series_name,
                lesion=lesions.get(row, f"row {row.line}"),
                terms=terms[row].said,
                uncertain=terms[row].uncertain,
                location=row.location,
            )
            for row, key_slice in held
        )
        if looks:
            scans.append(ScanLooks(looks, case.load))
    if not scans:
        raise DatasetError(
            f"{folder} has no scan of the lesions to learn from",
            "The slices around them are needed",
            "Check the data set with: lens data check deeplesion FOLDER",
        )
    return tuple(scans)
