"""What a checkpoint says about itself, read without torch: its configuration, its origin and what it may claim.

A checkpoint is a folder with `weights.safetensors` and `card.json`. The card is written last, so that a folder with a
card is complete.
"""

import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from lens_engine.errors import CheckpointError

CARD_NAME = "card.json"
WEIGHTS_NAME = "weights.safetensors"
CARD_VERSION = 1

DEMO_NOTICE = "Demo model trained on synthetic phantoms only, never on patients. Research use only."
"""Shown wherever a model speaks that has seen no patient."""


class TrainedOn(StrEnum):
    """Whose images a model has learned from."""

    NOTHING = "nothing"
    PHANTOMS = "phantoms"
    PATIENTS = "patients"


class NetworkKind(StrEnum):
    """What the weights of a checkpoint are for."""

    DETECTOR = "detector"
    FALSE_POSITIVE_REDUCTION = "false-positive reduction"
    LESION_EMBEDDING = "lesion embedding"


class DetectionPrecision(StrEnum):
    """Numbers that a model version looks with; its weights are the same in both."""

    FP32 = "fp32"
    BF16 = "bf16"
    """Finds other boxes, see `lens_engine.detector.inference.whole_volume.InferencePrecision`."""


class MeasuredLimit(BaseModel):
    """The distance below which two vectors of a lesion embedding mean one lesion, measured when it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float = Field(ge=0, le=2)
    comparisons: int = Field(ge=1)
    """Comparisons with wrong patients that it was found with."""
    measured_on: str
    """Whose lesions were compared, for people."""
    precision: float | None = None
    """Share of the matches below it that were right there; None where there was none."""
    recall: float | None = None
    """Share of the lesions to be found there that a match found; None where there was none."""


class CheckpointCard(BaseModel):
    """Everything that is known about one set of weights.

    Whoever saves fills in what the network and its file say: `network`, `config`, `experts`, the digests and the count.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    card_version: int = CARD_VERSION
    network: NetworkKind = NetworkKind.DETECTOR
    config: dict[str, JsonValue] = {}
    """Of that network, as JSON; only the detector package, which knows torch, reads it."""
    experts: tuple[str, ...] = ()
    """Names of a detector's experts, in the order of the outputs."""
    trained_on: TrainedOn
    notice: str = ""
    """Shown to the user wherever this model speaks; empty for none."""
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    parent: str | None = None
    """Model version that the training started from; of a false-positive reduction, the detector whose findings taught
    it."""
    snapshot: str | None = None
    """Digest of the label snapshot."""
    recipe: str | None = None
    """Name of the training recipe."""
    steps: int | None = None
    seed: int | None = None
    metrics: dict[str, float] = {}
    """Measured when it was made, by name."""
    inference_precision: DetectionPrecision = DetectionPrecision.FP32
    """Of a detector: what it finds in another precision is what another model version finds."""
    distance_limit: MeasuredLimit | None = None
    """Of a lesion embedding; None where it was not measured."""
    parameters_digest: str = ""
    """SHA-256 of the parameters' names and shapes."""
    weights_digest: str = ""
    """SHA-256 of the weights file."""
    parameter_count: int = 0

    @property
    def is_demo(self) -> bool:
        """Whether the model has never seen a patient."""
        return self.trained_on is not TrainedOn.PATIENTS


def read_card(folder: Path) -> CheckpointCard:
    """Read the card of the checkpoint in `folder`.

    Raises
    ------
    CheckpointError
        If there is no card, or it cannot be understood by this version.
    """
    path = folder / CARD_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror or type(error).__name__) if isinstance(error, OSError) else "it is no text"
        raise CheckpointError(
            f"The card {path} cannot be read ({why})",
            f"A checkpoint folder with a {CARD_NAME} is needed",
            "Choose another",
        ) from error
    try:
        version = json.loads(text).get("card_version")
    except (json.JSONDecodeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"The card {path} is not a JSON object ({error})", "An intact card is needed", "Copy the checkpoint again"
        ) from error
    if version != CARD_VERSION:
        raise CheckpointError(
            f"The card {path} has version {version}", f"Version {CARD_VERSION} is needed", "Update LENS-napari"
        )
    try:
        return CheckpointCard.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise CheckpointError(
            f"The card {path} does not fit this version: {problems}",
            "A card written by the same version is needed",
            "Update LENS-napari or train again",
        ) from error


def read_embedding_card(folder: Path) -> CheckpointCard:
    """Read the card of the lesion embedding in `folder`.

    Raises
    ------
    CheckpointError
        If there is no card that can be understood, or it is that of another kind of network.
    """
    card = read_card(folder)
    if card.network is not NetworkKind.LESION_EMBEDDING:
        raise CheckpointError(
            f"The checkpoint {folder} holds a {card.network} network",
            f"A {NetworkKind.LESION_EMBEDDING} network is needed here",
            "Train one with: lens recipe embed NAME",
        )
    return card


def demo_checkpoint_folder() -> Path:
    """Return the folder of the demo model that ships with the package."""
    return Path(__file__).parent / "detector" / "checkpoints" / "demo_model"


def shipped_embedding_folder() -> Path:
    """Return the folder of the lesion embedding that ships with the package."""
    return Path(__file__).parent / "lesion_embedding" / "phantom_model"
