"""What a model is made of: the checkpoint of a detector and, perhaps, of the network that judges its findings again.

A model is a folder with the detector's weights and card. A false-positive reduction lies in a folder of its own inside,
`REDUCTION_NAME`: that is how a recipe leaves them, and how a project keeps them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lens_engine.checkpoint_card import CARD_NAME, CheckpointCard, DetectionPrecision, NetworkKind, read_card
from lens_engine.errors import CheckpointError
from lens_engine.findings import FUSED

REDUCTION_NAME = "false-positive-reduction"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder with weights and a card, and the card."""

    folder: Path
    card: CheckpointCard


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A detector, and what judges its findings again.

    Attributes
    ----------
    reduction
        The false-positive reduction; None for a detector whose scores are final.
    """

    detector: Checkpoint
    reduction: Checkpoint | None

    @property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """The networks of the model, the detector first."""
        return (self.detector,) if self.reduction is None else (self.detector, self.reduction)

    @property
    def cards(self) -> tuple[CheckpointCard, ...]:
        """What the networks say about themselves; equal for equal models."""
        return tuple(checkpoint.card for checkpoint in self.checkpoints)

    @property
    def is_demo(self) -> bool:
        """Whether one of the networks has never seen a patient."""
        return any(card.is_demo for card in self.cards)

    @property
    def notice(self) -> str:
        """Shown wherever the model speaks; empty for none."""
        notice = self.detector.card.notice
        if self.reduction is None or self.reduction.card.notice in notice:
            return notice
        return f"{notice} False-positive reduction: {self.reduction.card.notice}".strip()


def read_model(folder: Path, reduction: Path | None = None) -> ModelFolder:
    """Read the cards of a model.

    Parameters
    ----------
    reduction
        Folder of a false-positive reduction to take instead of the one inside, if any.

    Raises
    ------
    CheckpointError
        If a card is missing or cannot be understood, or the training of the false-positive reduction has not ended.
    """
    detector = Checkpoint(folder, read_card(folder))
    inside = folder / REDUCTION_NAME
    if reduction is not None:
        return ModelFolder(detector, Checkpoint(reduction, read_card(reduction)))
    if not inside.is_dir():
        return ModelFolder(detector, None)
    if not (inside / CARD_NAME).exists():
        raise CheckpointError(
            f"The false-positive reduction in {inside} has no card: its training has not ended",
            "Both networks of a model are needed",
            "Go on with the recipe with --resume, or remove that folder to do without",
        )
    return ModelFolder(detector, Checkpoint(inside, read_card(inside)))


def renamed(model: ModelFolder, names: Sequence[tuple[str, str]]) -> ModelFolder:
    """Return a model whose experts are called otherwise; what they find is the same.

    Published models call their experts as the data sets that they learnt from, a project as its own.

    Parameters
    ----------
    names
        The name that an expert has and the one that it gets, for those that change.

    Raises
    ------
    CheckpointError
        If there is no such expert, one is named twice, or two would have one name.
    """
    card, wanted = model.detector.card, dict(names)
    known = ", ".join(card.experts)
    unknown = [old for old in wanted if old not in card.experts]
    if unknown:
        raise CheckpointError(
            f"The model has no expert {', '.join(map(repr, unknown))}", f"It has {known}", "Correct --rename OLD=NEW"
        )
    if len(wanted) < len(names):
        raise CheckpointError(
            f"An expert is renamed twice: {', '.join('='.join(pair) for pair in names)}",
            "One new name for each expert",
            "Leave one out",
        )
    experts = tuple(wanted.get(name, name) for name in card.experts)
    if len(set(experts)) < len(experts) or FUSED in experts or not all(experts):
        raise CheckpointError(
            f"The experts {known} would be called {', '.join(map(repr, experts))}",
            f"Names that differ from each other and from {FUSED!r} are needed",
            "Choose other names with --rename OLD=NEW",
        )
    config = card.config | {"experts": list(experts)}
    detector = replace(model.detector, card=card.model_copy(update={"experts": experts, "config": config}))
    return replace(model, detector=detector)


def in_precision(model: ModelFolder, precision: DetectionPrecision) -> ModelFolder:
    """Return the model with a detector that looks in that precision."""
    card = model.detector.card.model_copy(update={"inference_precision": precision})
    return replace(model, detector=replace(model.detector, card=card))


def check_parts(model: ModelFolder) -> None:
    """Refuse networks that are of the wrong kind, or do not see a volume in the same way.

    Raises
    ------
    CheckpointError
        If the first is no detector, or the second no false-positive reduction for it.
    """
    detector, reduction = model.detector, model.reduction
    if detector.card.network is not NetworkKind.DETECTOR:
        raise CheckpointError(
            f"The checkpoint {detector.folder} holds a {detector.card.network} network",
            "A detector is needed; such a network judges what one finds, and is brought in beside it",
            "Run: lens models --add DETECTOR --reduction FOLDER",
        )
    if reduction is None:
        return
    if reduction.card.network is not NetworkKind.FALSE_POSITIVE_REDUCTION:
        raise CheckpointError(
            f"The checkpoint {reduction.folder} holds a {reduction.card.network} network",
            f"A {NetworkKind.FALSE_POSITIVE_REDUCTION} network is needed beside the detector",
            f"Give the folder {REDUCTION_NAME} of a recipe that trains one",
        )
    differences = _input_differences(detector.card, reduction.card)
    if differences:
        raise CheckpointError(
            f"The false-positive reduction {reduction.folder} sees a volume in another way than the detector "
            f"{detector.folder}: {differences}",
            "Both must see the same pixels, slices and intensities",
            "Choose one that was trained on the findings of this detector",
        )


def _input_differences(detector: CheckpointCard, reduction: CheckpointCard) -> str:
    """Return in words where the configurations differ in what they share: what the network sees of a volume."""
    shared = sorted(detector.config.keys() & reduction.config.keys())
    return ", ".join(
        f"{name} {reduction.config[name]} instead of {detector.config[name]}"
        for name in shared
        if reduction.config[name] != detector.config[name]
    )
