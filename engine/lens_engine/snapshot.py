"""A frozen, hashed set of labels: all that training reads about a project, in one JSON file.

Boxes are half-open voxel edges of the series in the canonical frame, `(x1, y1, z1, x2, y2, z2)`; slice indices are
canonical. The precedence of labels (decision over mined over original) is applied by whoever freezes the snapshot.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from lens_engine.errors import AnnotationFileError, GeometryError, ProjectError
from lens_engine.findings import Box3D, Scope, Split
from lens_engine.geometry import VolumeGeometry
from lens_engine.io.atomic_files import replacement_of

FORMAT_VERSION = 1
_SERIES = b',"series":['
"""Stands before the series in a file, and nowhere before: quotation marks inside of names are escaped."""
_PIECE_BYTES = 1 << 20
_LONGEST_BEGINNING = 1 << 26

SnapshotSlice = tuple[int, float, float, float, float]
"""`(slice_index, x1, y1, x2, y2)` of one cross-section."""


class LabelSet(StrEnum):
    """Which labels of the project went into a snapshot."""

    ORIGINAL = "original"
    MINED = "original+mined"
    CURATED = "original+mined+decisions"


class LesionRole(StrEnum):
    """What a place means to the losses."""

    POSITIVE = "positive"
    """A lesion."""
    CLASSIFICATION = "classification"
    """A lesion whose edges are not trusted: it teaches what a lesion looks like, not how large one is."""
    IGNORE = "ignore"
    """May be a lesion: no loss there. Mined places are ignored in their central half, unsure ones as a whole."""
    NEGATIVE = "negative"
    """A reader said that this is no lesion: a certain, and hard, negative, whatever the data set of the series."""


class LesionOrigin(StrEnum):
    """Where a label comes from."""

    ANNOTATION = "annotation"
    MINED = "mined"
    DECISION = "decision"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Lesion(_Frozen):
    """One labelled place of a series.

    Attributes
    ----------
    series
        Name of the series it lies in.
    slices
        Annotated cross-sections, ascending; at least one.
    experts
        Who learns a lesion or a negative. None: a lesion is one for the expert of the series' data set, whose authors
        marked it, and a negative is one for every expert. Lesions that readers decided name theirs: the universal
        experts, and those whose scope covers the type that the reader said.
    key_slice
        Set when only this slice was annotated: the lesion goes on above and below, but nobody drew it there.
    group
        Labels of one series with the same group are one 3D lesion, so that one slice is drawn for all of them together;
        None makes the label a lesion of its own.
    is_tight
        The box was derived from a mask or contour without a margin; training pads it to the margin of RECIST boxes
        (algorithms 1.9).
    """

    series: str
    box: Box3D
    slices: tuple[SnapshotSlice, ...]
    role: LesionRole
    origin: LesionOrigin
    experts: tuple[str, ...] | None = None
    key_slice: int | None = None
    group: str | None = None
    is_tight: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> "Lesion":
        x1, y1, z1, x2, y2, z2 = self.box
        if not (x1 < x2 and y1 < y2 and z1 < z2):
            raise ValueError(f"box {self.box} of series {self.series} needs low < high on every axis")
        if not self.slices:
            raise ValueError(f"the {self.role} lesion of series {self.series} has no cross-section; one is needed")
        if self.role is LesionRole.IGNORE and self.experts is not None:
            raise ValueError(f"an ignored lesion has experts {self.experts}; nobody learns it")
        return self

    def is_for(self, expert: str, dataset: str) -> bool:
        """Whether an expert learns a lesion or negative that lies in a series of a data set."""
        if self.experts is not None:
            return expert in self.experts
        return self.role is LesionRole.NEGATIVE or expert == dataset


class SnapshotSource(_Frozen):
    """Where the voxels of a series are.

    Attributes
    ----------
    format
        Value of `lens_engine.io.series.SeriesFormat`.
    paths
        Relative to the folder that the machine calls `root`, and inside it; absolute without a root.
    """

    format: str
    paths: tuple[str, ...]
    series_uid: str | None = None
    root: str | None = None

    @model_validator(mode="after")
    def _stays_in_its_root(self) -> "SnapshotSource":
        for path in map(PurePosixPath, self.paths if self.root is not None else ()):
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"the path {str(path)!r} leaves its root {self.root!r}; a relative path is needed")
        return self

    def resolve(self, roots: Mapping[str, Path]) -> tuple[Path, ...]:
        """Return absolute paths, with the folders that this machine gives to the named roots.

        Raises
        ------
        ProjectError
            If the root is not mapped.
        """
        if self.root is None:
            return tuple(Path(path) for path in self.paths)
        if self.root not in roots:
            raise ProjectError(
                f"The snapshot refers to the folder {self.root!r}, which this machine does not know",
                f"Known are {sorted(roots)}",
                "Map it with --root NAME=FOLDER",
            )
        return tuple(roots[self.root] / path for path in self.paths)


class SnapshotSeries(_Frozen):
    """One series with its labels.

    Attributes
    ----------
    patient
        Pseudonymous code.
    geometry
        What `VolumeGeometry.as_dict` returns.
    truth
        The complete 3D boxes of a series that was annotated completely; for measuring only, never for training.
    """

    name: str
    dataset: str
    split: Split
    patient: str
    geometry: dict[str, Any]
    source: SnapshotSource
    lesions: tuple[Lesion, ...] = ()
    is_complete_truth: bool = False
    truth: tuple[Box3D, ...] = ()

    @model_validator(mode="after")
    def _lies_in_a_volume(self) -> "SnapshotSeries":
        try:
            slice_count = self.volume_geometry.shape[0]
        except (KeyError, TypeError, GeometryError) as error:
            raise ValueError(f"the geometry of series {self.name} cannot be used: {error}") from error
        for lesion in self.lesions:
            if not all(0 <= index < slice_count for index, *_ in lesion.slices):
                raise ValueError(f"a lesion of series {self.name} has a cross-section outside its {slice_count} slices")
        return self

    @property
    def volume_geometry(self) -> VolumeGeometry:
        """Size, spacing and position of the series."""
        return VolumeGeometry.from_dict(self.geometry)


class Snapshot(_Frozen):
    """Labels of all series of a project at one moment.

    Attributes
    ----------
    experts
        Names of the data sets, in the order in which they were made.
    scopes
        What each of them labels; as long as `experts`.
    chain_heads
        The hash of each reader's latest decision when the labels were frozen, by the reader's number; kept for
        `store.audit`, and no part of `digest`: the same labels are the same snapshot.
    """

    format_version: int = FORMAT_VERSION
    experts: tuple[str, ...]
    scopes: tuple[Scope, ...]
    series: tuple[SnapshotSeries, ...]
    labels: LabelSet
    chain_heads: dict[int, str] = {}

    @model_validator(mode="after")
    def _names_fit(self) -> "Snapshot":
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"the snapshot has format {self.format_version}; this version reads {FORMAT_VERSION}")
        if not self.experts or len(self.experts) != len(self.scopes):
            raise ValueError(f"experts {self.experts} and scopes {self.scopes} need the same length of at least one")
        unknown = {series.dataset for series in self.series} - set(self.experts)
        if unknown:
            raise ValueError(f"series belong to {sorted(unknown)}, which are none of the data sets {self.experts}")
        names = [series.name for series in self.series]
        if len(set(names)) != len(names):
            raise ValueError("two series have the same name; names are unique in a snapshot")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the labels as JSON with sorted keys and no spaces: equal labels have equal text. Hexadecimal."""
        found = hashlib.sha256()
        for piece in self._pieces(leave_out={"chain_heads"}):
            found.update(piece.encode())
        return found.hexdigest()

    def scope(self, dataset: str) -> Scope:
        """Return what the data set labels."""
        return self.scopes[self.experts.index(dataset)]

    def save(self, path: Path) -> None:
        """Write the labels and the heads so that the file is either complete or absent."""
        with replacement_of(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(self._pieces(leave_out=set()))

    @classmethod
    def load(cls, path: Path) -> "Snapshot":
        """Read what `save` wrote.

        Raises
        ------
        AnnotationFileError
            If the file is missing, broken, or of another format.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise AnnotationFileError(
                f"The snapshot {path.name} cannot be read ({error.strerror})", "A readable file", "Freeze it again"
            ) from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise AnnotationFileError(
                f"{path.name} is not a label snapshot: {_first_problem(error)}",
                f"A JSON file of format {FORMAT_VERSION} is needed",
                "Freeze the labels again with this version",
            ) from error

    @staticmethod
    def heads_in(path: Path) -> tuple[dict[int, str], str]:
        """Return the `chain_heads` and the `digest` of a file that `save` wrote; its series stay on the disk.

        Raises
        ------
        AnnotationFileError
            If the file is missing, or not of the form that `save` writes.
        """
        try:
            with path.open("rb") as file:
                beginning, rest = _beginning(file)
                values = json.loads(beginning + b"}")
                heads = {int(reader): str(head) for reader, head in values.pop("chain_heads").items()}
                found = hashlib.sha256(_json(values).removesuffix("}").encode() + _SERIES)
                while rest:
                    found.update(rest)
                    rest = file.read(_PIECE_BYTES)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AnnotationFileError(
                f"The heads of the snapshot {path.name} cannot be read", "A file as it was frozen", "Freeze it again"
            ) from error
        return heads, found.hexdigest()

    def _pieces(self, leave_out: set[str]) -> Iterator[str]:
        """Yield the JSON series by series: that of a large project takes more memory at once than its labels."""
        beginning = _json(self.model_dump(mode="json", exclude={"series", *leave_out}))
        yield beginning.removesuffix("}") + _SERIES.decode()  # the last of the names as they are sorted
        for number, series in enumerate(self.series):
            yield ("," if number else "") + _json(series.model_dump(mode="json"))
        yield "]}"


def _beginning(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Return what stands before the series, and what was read behind it."""
    read = b""
    while _SERIES not in read and len(read) < _LONGEST_BEGINNING:
        piece = file.read(_PIECE_BYTES)
        if not piece:
            break
        read += piece
    beginning, marker, rest = read.partition(_SERIES)
    if not marker:
        raise ValueError("no series")
    return beginning, rest


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _first_problem(error: ValidationError | UnicodeDecodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    problem = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])
