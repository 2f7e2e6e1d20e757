"""The vectors of each series in a file of its own, which says what they were computed with.

What one network has computed is never compared with what another one has, and vectors of boxes belong to the detections
they were cut from: a file names both, and is made again or refused when either is another.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lens_engine.errors import StoreError
from lens_engine.io.atomic_files import replacement_of
from lens_engine.mining.looks import SeriesVectors

_FAILURES = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class VectorFiles:
    """The files of one mining.

    Attributes
    ----------
    network
        Digest of the weights that the vectors come from.
    detections
        What the embedded boxes come from; equal for equal boxes.
    """

    folder: Path
    network: str
    detections: str

    def exists(self, series: str) -> bool:
        """Return whether the vectors of a series are there, by this network and of these detections."""
        try:
            with self._path(series).open("rb") as file, np.load(file) as stored:
                return (str(stored["network"]), str(stored["detections"])) == (self.network, self.detections)
        except _FAILURES:
            return False  # made anew, as if it were missing

    def write(self, series: str, vectors: SeriesVectors) -> None:
        """Store the vectors of a series.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        known = [*vectors.annotations.values(), *vectors.decided.values()]
        try:
            with replacement_of(self._path(series)) as temporary, temporary.open("wb") as file:
                np.savez(
                    file,
                    network=np.asarray(self.network),
                    detections=np.asarray(self.detections),
                    annotation_ids=np.asarray(list(vectors.annotations), dtype=np.int64),
                    decision_ids=np.asarray(list(vectors.decided), dtype=np.int64),
                    lesions=np.asarray(known, dtype=np.float32),
                    rows=vectors.rows,
                    boxes=vectors.boxes,
                )
        except OSError as error:
            raise StoreError(
                f"The embeddings of series {series} cannot be written ({error.strerror})",
                "A disk with free space and write access",
                "Free space on that disk, and start the mining again",
            ) from error

    def read(self, series: str) -> SeriesVectors:
        """Return the vectors of a series.

        Raises
        ------
        StoreError
            If they are missing or damaged, or were computed by another network or of other detections.
        """
        path = self._path(series)
        try:
            with path.open("rb") as file, np.load(file) as stored:
                columns = {name: stored[name] for name in stored.files}
            known, first = columns["lesions"], len(columns["annotation_ids"])
            vectors = SeriesVectors(
                dict(zip(columns["annotation_ids"].tolist(), known[:first], strict=True)),
                dict(zip(columns["decision_ids"].tolist(), known[first:], strict=True)),
                columns["rows"],
                columns["boxes"],
            )
            network, detections = str(columns["network"]), str(columns["detections"])
        except (FileNotFoundError, KeyError) as error:
            raise StoreError(
                f"Series {series} has no embeddings of this version",
                "They are made by an earlier step of the same mining, which an older program may have begun",
                "Start the mining again",
            ) from error
        except _FAILURES as error:
            raise StoreError(
                f"The embeddings of series {series} cannot be read ({str(error) or type(error).__name__})",
                f"{path.name} as this version of LENS-napari wrote it",
                "Start the mining again: they are computed anew",
            ) from error
        self._check(series, network, detections)
        return vectors

    def _check(self, series: str, network: str, detections: str) -> None:
        if network != self.network:
            raise StoreError(
                f"Series {series} was embedded by the network {network[:12]}",
                f"The mining now uses {self.network[:12]}; vectors of two networks cannot be compared",
                "Start the mining again",
            )
        if detections != self.detections:
            raise StoreError(
                f"The embeddings of series {series} belong to the boxes of {detections[:12]}",
                f"The mining now reads those of {self.detections[:12]}",
                "Start the mining again",
            )

    def _path(self, series: str) -> Path:
        return self.folder / f"{series}.npz"
