"""The lesion embedding that a project mines with: its own, where one was brought in, else the one that ships."""

import shutil
from pathlib import Path

from lens_engine.checkpoint_card import (
    CARD_NAME,
    WEIGHTS_NAME,
    CheckpointCard,
    read_embedding_card,
    shipped_embedding_folder,
)
from lens_engine.errors import StoreError
from lens_engine.io.atomic_files import flush_folder, name_folder, unnamed_folder
from lens_engine.model_folder import Checkpoint
from lens_engine.project import Project
from lens_engine.store.models.model_versions import weights_digest


def embedding_folder(project: Project) -> Path:
    """Return the folder of the embedding that a project mines with."""
    own = project.embedding_folder
    return own if (own / CARD_NAME).exists() else shipped_embedding_folder()


def bring_in_embedding(project: Project, folder: Path) -> CheckpointCard:
    """Copy an embedding into the project, which mines with it from now on, and return its card.

    Raises
    ------
    CheckpointError
        If the folder holds no embedding, or its weights do not fit the card.
    StoreError
        If the copy cannot be written; the project is as it was.
    """
    card = read_embedding_card(folder)
    weights_digest(Checkpoint(folder, card))
    own = project.embedding_folder
    try:
        with unnamed_folder(own.parent) as copied:
            for name in (WEIGHTS_NAME, CARD_NAME):
                shutil.copyfile(folder / name, copied / name)
            flush_folder(copied)
            shutil.rmtree(own, ignore_errors=True)
            name_folder(copied, own)
    except OSError as error:
        raise StoreError(
            f"The embedding cannot be copied into the project ({error.strerror})",
            "A disk with free space and write access",
            "Free space on the disk of the project",
        ) from error
    return card
