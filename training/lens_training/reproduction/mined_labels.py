"""What was mined before a recipe's training: the labels of every case in one file, and the cases that learn from them.

The file has JSON lines: a header with the report, then one line for each case with its annotations and what was mined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.mining.reports.counts import LabelCounts
from lens_engine.mining.reports.tables import counts_table
from lens_engine.mining.strategies.choice import MiningStrategy
from lens_engine.mining.strategies.labels import LabelRule, MinedLabel, MinedLabels, Teaching
from lens_engine.snapshot import Lesion, LesionOrigin, LesionRole
from lens_training.datasets.case import Case
from lens_training.errors import TrainingError
from lens_training.reproduction.case_annotations import annotated_lesions
from lens_training.reproduction.recipe_embedding import UsedEmbedding
from lens_training.running.fingerprint import fingerprint

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class MiningReport(BaseModel):
    """What mining gave, for the results.

    Attributes
    ----------
    distance_limit
        Below which two embeddings counted as one lesion; None where nothing was matched.
    limit_note
        Where the limit comes from and what it is worth.
    embedding
        Whose vectors were compared; None where nothing was matched.
    counts
        Rows in the form of LENS Table IV.
    """

    model_config = _FROZEN

    strategy: MiningStrategy
    distance_limit: float | None = None
    limit_note: str = ""
    embedding: UsedEmbedding | None = None
    counts: tuple[LabelCounts, ...] = ()

    @property
    def text(self) -> str:
        """The counts as a table, with the notes below."""
        notes = [] if self.embedding is None else [self.embedding.note]
        notes += [self.limit_note] if self.limit_note else []
        return "\n".join([f"Mined with {self.strategy}:", counts_table(self.counts).rstrip("\n"), *notes])


class LabelReason(BaseModel):
    """Why a lesion is in the file.

    Attributes
    ----------
    annotations
        The ones it is, continues or resembles, as case and number within the case.
    distance
        Of the embeddings, where a resemblance is the reason.
    """

    model_config = _FROZEN

    rule: LabelRule
    annotations: tuple[tuple[str, int], ...] = ()
    distance: float | None = None


class CaseLabels(BaseModel):
    """The labels of one case: annotations, missing annotations, and places to ignore.

    Attributes
    ----------
    reasons
        One for each of `lesions`.
    unlabelled
        See `Case.unlabelled_slices`.
    """

    model_config = _FROZEN

    case: str
    lesions: tuple[Lesion, ...]
    reasons: tuple[LabelReason, ...]
    unlabelled: tuple[int, ...]


class _Header(BaseModel):
    model_config = _FROZEN

    fingerprint: str
    report: MiningReport
    cases: int


@dataclass(frozen=True, slots=True)
class MinedCases:
    """All labels that a recipe trains on in its universal data set, and how they came about."""

    report: MiningReport
    labels: tuple[CaseLabels, ...]

    @property
    def digest(self) -> str:
        """Equal for equal labels."""
        return fingerprint(*(labels.model_dump_json() for labels in self.labels))

    def taught(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Return the cases with their labels; those that were not mined stay as they are.

        Facts about lesions, which only measuring asks for, are left out of the others.
        """
        known = {labels.case: labels for labels in self.labels}
        return tuple(_taught(case, known[case.name]) if case.name in known else case for case in cases)

    def save(self, path: Path, made_from: str) -> None:
        """Write all of it under the fingerprint of what it was made from, completely or not at all."""
        header = _Header(fingerprint=made_from, report=self.report, cases=len(self.labels))
        lines = [header.model_dump_json(), *(labels.model_dump_json() for labels in self.labels)]
        write_text_atomically(path, "\n".join(lines) + "\n")


def is_mined(path: Path, made_from: str) -> bool:
    """Return whether the file is there and was made from the same."""
    if not path.exists():
        return False
    with path.open(encoding="utf-8") as file:
        try:
            return _Header.model_validate_json(file.readline()).fingerprint == made_from
        except (ValidationError, UnicodeDecodeError):
            return False  # made anew, as if it were missing


def load_mined(path: Path) -> MinedCases:
    """Return what `MinedCases.save` wrote.

    Raises
    ------
    TrainingError
        If the file is damaged.
    """
    try:
        first, *others = path.read_text(encoding="utf-8").splitlines()
        header = _Header.model_validate_json(first)
        labels = tuple(CaseLabels.model_validate_json(line) for line in others)
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"The labels {path} cannot be read ({str(error).splitlines()[0]})",
            "The file as this run wrote it",
            "Delete it, and start again with --resume: only the mining is done again",
        ) from error
    if len(labels) != header.cases:
        raise TrainingError(
            f"{path} holds the labels of {len(labels)} cases",
            f"Its first line says {header.cases}",
            "Delete it, and start again with --resume: only the mining is done again",
        )
    return MinedCases(header.report, labels)


def labels_of(case: Case, mined: MinedLabels, owner_of_id: Mapping[int, tuple[str, int]]) -> CaseLabels:
    """Return the labels of a case: its lesions as they were annotated, grouped, and what was mined.

    Parameters
    ----------
    owner_of_id
        Case and number within the case of each annotation, by the id that mining knew it under.
    """
    annotated = annotated_lesions(case)
    lesions: list[Lesion] = []
    for label in mined.positives:
        group = f"lesion {label.lesion}"
        if label.rule is LabelRule.ANNOTATION:
            (own,) = label.annotation_ids
            lesions.append(annotated[owner_of_id[own][1]].model_copy(update={"group": group}))
        else:
            trusted = label.teaches is Teaching.POSITIVE
            role = LesionRole.POSITIVE if trusted else LesionRole.CLASSIFICATION
            lesions.append(_mined(case, label, role, group if trusted else None))
    lesions += [_mined(case, label, LesionRole.IGNORE, None) for label in mined.ignored]
    kept = [lesion for lesion in case.lesions if lesion.role is not LesionRole.POSITIVE]
    reasons = [
        LabelReason(
            rule=label.rule,
            annotations=tuple(owner_of_id[number] for number in label.annotation_ids),
            distance=label.distance,
        )
        for label in (*mined.positives, *mined.ignored)
    ]
    reasons += [LabelReason(rule=LabelRule.ANNOTATION)] * len(kept)
    return CaseLabels(case=case.name, lesions=(*lesions, *kept), reasons=tuple(reasons), unlabelled=_unlabelled(mined))


def _taught(case: Case, labels: CaseLabels) -> Case:
    return replace(case, lesions=labels.lesions, facts=(), unlabelled_slices=labels.unlabelled)


def _unlabelled(mined: MinedLabels) -> tuple[int, ...]:
    """Return the negative slices, and those on which nothing but lesions without trusted edges was mined."""
    trusted = [label for label in mined.positives if label.teaches is Teaching.POSITIVE]
    without_edges = mined.positive_slices - {section.slice_index for label in trusted for section in label.slices}
    return tuple(sorted(without_edges | {item.slice_index for item in mined.negatives}))


def _mined(case: Case, label: MinedLabel, role: LesionRole, group: str | None) -> Lesion:
    return Lesion(
        series=case.name,
        box=label.box,
        slices=tuple((section.slice_index, *section.box) for section in label.slices),
        role=role,
        origin=LesionOrigin.MINED,
        group=group,
    )
