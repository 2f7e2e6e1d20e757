"""The embedding of mining: of known lesions and of the boxes that are compared with them, by one network.

A project that has an embedding of its own uses that, any other the one that ships. What one network has computed is
never compared with what another one has: each file names its network, and is made again or refused when it is another.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lens_engine.checkpoint_card import CheckpointCard, read_card
from lens_engine.errors import StoreError
from lens_engine.findings import Box2D
from lens_engine.io.atomic_files import replacement_of
from lens_engine.lesion_embedding.checkpoint import load_embedding
from lens_engine.lesion_embedding.embedding import embed_lesions
from lens_engine.lesion_embedding.network import EmbeddingNetwork
from lens_engine.mining.looks import with_embeddings
from lens_engine.project import Project
from lens_engine.proposals import Proposals
from lens_engine.store.models.lesion_embedding import embedding_folder
from lens_engine.volume import Volume


class LesionEmbedder:
    """The network of a project, loaded when it is first needed."""

    def __init__(self, project: Project, device: str) -> None:
        self._folder = embedding_folder(project)
        self._device = device
        self._network: EmbeddingNetwork | None = None

    @property
    def card(self) -> CheckpointCard:
        """What the network says about itself; its weights' digest tells it from others."""
        return read_card(self._folder)

    def embed(self, volume: Volume, places: Sequence[tuple[float, Box2D]]) -> NDArray[np.float32]:
        """Return unit vectors of boxes on slices of a series, (n, width); see `embed_lesions`."""
        if self._network is None:
            self._network = load_embedding(self._folder, self._device)[0]
        return embed_lesions(self._network, volume, places)


class BoxEmbeddings:
    """Embeddings of the fused boxes that mining compares, kept as files of the job that computed them.

    Parameters
    ----------
    network
        Digest of the weights that the vectors come from.
    """

    def __init__(self, folder: Path, network: str) -> None:
        self._folder = folder
        self._network = network

    def exists(self, series_id: int) -> bool:
        """Return whether those of a series are there, by this network."""
        path = self._path(series_id)
        return path.exists() and self._network_of(path) == self._network

    def write(self, series_id: int, rows: NDArray[np.intp], vectors: NDArray[np.float32]) -> None:
        """Store (n, width) vectors of the fused boxes in `rows`.

        Raises
        ------
        StoreError
            If the disk refuses.
        """
        try:
            with replacement_of(self._path(series_id)) as temporary, temporary.open("wb") as file:
                np.savez(file, network=np.asarray(self._network), rows=rows, vectors=vectors)
        except OSError as error:
            raise StoreError(
                f"The embeddings of series {series_id} cannot be written ({error.strerror})",
                "A disk with free space and write access",
                "Free space on the disk of the project, and start the mining again",
            ) from error

    def embedded(self, series_id: int, proposals: Proposals) -> Proposals:
        """Return the boxes of a series with these embeddings in place of the detector's.

        Raises
        ------
        StoreError
            If they are missing, or were computed by another network.
        """
        path = self._path(series_id)
        if not path.exists():
            raise StoreError(
                f"The boxes of series {series_id} have no embeddings of this version",
                "They are made by an earlier step of the same job, and an older program has begun it",
                "Start the mining again",
            )
        network = self._network_of(path)
        if network != self._network:
            raise StoreError(
                f"The boxes of series {series_id} were embedded by the network {network[:12]}",
                f"The project now uses {self._network[:12]}; vectors of two networks cannot be compared",
                "Start the mining again",
            )
        with np.load(path) as stored:
            return with_embeddings(proposals, stored["rows"], stored["vectors"])

    def _path(self, series_id: int) -> Path:
        return self._folder / f"{series_id}-boxes.npz"

    @staticmethod
    def _network_of(path: Path) -> str:
        with np.load(path) as stored:
            return str(stored["network"])
