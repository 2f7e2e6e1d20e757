"""Looks at bright balls in small scans, and a recipe and a network small enough to learn them at once."""

from functools import partial

from lens_engine.lesion_embedding.config import EmbeddingConfig
from lens_engine.volume import Volume
from lens_training.lesion_embedding.labels import Ontology
from lens_training.lesion_embedding.looks import Look, ScanLooks
from lens_training.recipes.lesion_embedding import EmbeddingRecipe, EmbeddingSize, Likeness
from lens_training.running.schedule import ScheduleRecipe
from support.training.training_scenes import BALLS, Ball, volume_with

CONFIG = EmbeddingConfig(
    pixel_mm=3.2,
    grid_mm=4.0,
    patch_side=16,
    widths=(4, 5, 6, 7, 8),
    convolutions=(1, 1, 1, 1, 1),
    pooled=2,
    scale_width=6,
    width=8,
    terms=2,
)
TYPES = ("small", "large")
ONTOLOGY = Ontology.of_types(TYPES)

RECIPE = EmbeddingRecipe(
    name="test",
    size=EmbeddingSize.NARROW,
    likeness=Likeness.LESIONS,
    epochs=4,
    schedule=ScheduleRecipe(learning_rate=0.02),
    batch_size=4,
    looks=2,
    triplets=50,
    hard_entries=20,
    log_every=1,
    checkpoint_every=2,
)


def look_at(ball: Ball, lesion: str, scan: str, slice_offset: int = 0) -> Look:
    half = ball.diameter / 2
    return Look(
        slice_index=ball.z + slice_offset,
        box=(ball.x - half, ball.y - half, ball.x + half, ball.y + half),
        scan=scan,
        lesion=lesion,
        terms=(int(ball.diameter > 9),),
        location=(ball.x / 64, ball.y / 64, ball.z / 12),
    )


def scans() -> tuple[ScanLooks, ...]:
    """Make two scans of all balls, seen on two slices each."""
    found = []
    for number in range(2):
        volume = volume_with(*BALLS.values(), seed=number)
        looks = tuple(
            look_at(ball, name, f"scan {number}", offset) for name, ball in BALLS.items() for offset in (0, 1)
        )
        found.append(ScanLooks(looks, partial(_same, volume)))
    return tuple(found)


def _same(volume: Volume) -> Volume:
    return volume
