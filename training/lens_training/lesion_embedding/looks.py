"""What the embedding learns from: looks at lesions, each with what is known of the lesion."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from lens_engine.findings import Box2D
from lens_engine.volume import Volume

Location = tuple[float, float, float]
"""Place in the body along x, y and z, each in about [0, 1]."""


class Look(BaseModel):
    """One cross-section of a lesion, or of another place.

    Attributes
    ----------
    box
        Voxel edges of the scan.
    scan
        Name of the scan, distinct among all patients.
    lesion
        Equal for looks that show one lesion, or one place, in any scan; distinct among all patients.
    terms
        Numbers of the terms that are said of it.
    uncertain
        Of the terms that may hold; nothing is learnt about them.
    location
        None where it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    slice_index: int
    box: Box2D
    scan: str
    lesion: str
    terms: tuple[int, ...] = ()
    uncertain: tuple[int, ...] = ()
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class ScanLooks:
    """The looks of one scan, and a way to its voxels."""

    looks: tuple[Look, ...]
    load: Callable[[], Volume]
