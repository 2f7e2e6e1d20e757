"""From a recipe of an embedding to its checkpoint: `lens recipe embed`.

One folder comes out: `recipe.yaml`, weights and card, `log.jsonl`, `last.ckpt` to go on from, and on phantoms
`results.json` with what the embedding is worth in mining.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from lens_engine.checkpoint_card import DEMO_NOTICE, CheckpointCard, TrainedOn, demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.errors import ConfigError
from lens_engine.findings import Split
from lens_engine.io.annotations.deeplesion_csv import LESION_TYPES
from lens_engine.io.atomic_files import write_text_atomically
from lens_engine.lesion_embedding.checkpoint import load_embedding, save_embedding
from lens_engine.phantom.patient import VAL_SEEDS
from lens_training.lesion_embedding.deeplesion_looks import report_looks, typed_looks
from lens_training.lesion_embedding.fit import EmbeddingRun, fit_embedding, new_embedding
from lens_training.lesion_embedding.labels import Ontology, read_report_labels
from lens_training.lesion_embedding.looks import ScanLooks
from lens_training.lesion_embedding.matching import MatchReport, measure_on_phantoms
from lens_training.lesion_embedding.phantom_looks import TYPES, training_looks
from lens_training.recipes.files import RECIPE_FILE, stored_fields
from lens_training.recipes.lesion_embedding import EmbeddingPhantoms, EmbeddingRecipe, Likeness
from lens_training.running.fingerprint import fingerprint
from lens_training.running.progress import Stage
from lens_training.running.runner import Reports

PHANTOM = "phantom"
"""Says that phantoms are made instead of reading a folder."""
RESULTS_FILE = "results.json"

FALLBACK_NOTICE = (
    "Lesion embedding trained without terms of radiology reports: lesions are alike by type, place in the body and "
    "presumed follow-up. Not LesaNet, and not what the published distance limit was found for."
)
RESEARCH_NOTICE = "Research use only."


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """What a user decides beside the recipe.

    Attributes
    ----------
    source
        `PHANTOM`, or the folder of DeepLesion.
    labels
        Folder with the public label files; None where there are none.
    """

    recipe: EmbeddingRecipe
    source: str
    folder: Path
    labels: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class _Lesions:
    """What is learnt from: the training scans, how many they are, and the terms of their looks."""

    scans: Iterable[ScanLooks]
    count: int
    ontology: Ontology
    digest: str


def run_embedding(request: EmbeddingRequest, reports: Reports, *, resume: bool = False) -> MatchReport | None:
    """Train, write the checkpoint, and measure on phantoms where the data are phantoms; None elsewhere.

    Raises
    ------
    ConfigError
        If the recipe and the data do not fit each other, or the folder belongs to another recipe.
    AnnotationFileError, DatasetError
        If the labels or the data set are not as published.
    TrainingStoppedError, TrainingError, CheckpointError
        For the reasons that `fit_embedding` has.
    """
    recipe, folder = request.recipe, request.folder
    stored_fields(folder, recipe.name)  # refuses that of another one before anything in it changes
    lesions = _lesions(request, reports)
    write_text_atomically(folder / RECIPE_FILE, yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    network = new_embedding(recipe.size.config(len(lesions.ontology.terms)), request.seed)
    decides = recipe.model_dump_json(exclude={"title", "log_every", "checkpoint_every", "stores_half"})
    same = fingerprint(lesions.digest, decides, request.seed)
    run = EmbeddingRun(lesions.scans, lesions.count, lesions.ontology, recipe, request.seed, same, folder)
    steps = fit_embedding(network, run, reports, resume=resume)
    dtype = torch.float16 if recipe.stores_half else torch.float32
    card = save_embedding(network, _card(request, steps), folder, dtype=dtype)
    if request.source != PHANTOM or recipe.phantoms is None:
        return None
    stored, _ = load_embedding(folder)  # measured as stored, so that the card tells the truth
    detector, _ = load_checkpoint(demo_checkpoint_folder())
    phantoms = recipe.phantoms
    seeds = VAL_SEEDS[: phantoms.val_patients]
    reports.log.report(Stage.EVALUATE, 0, 1)
    report = measure_on_phantoms(stored, detector, seeds, phantoms.withheld_share, phantoms.studies)
    write_text_atomically(folder / RESULTS_FILE, report.model_dump_json(indent=2) + "\n")
    limit = report.limit_measured_on(f"{len(seeds)} validation phantoms")
    told = {"metrics": report.metrics, "distance_limit": limit}
    save_embedding(stored, card.model_copy(update=told), folder, dtype=dtype)
    reports.log.report(Stage.EVALUATE, 1, 1)
    return report


def _lesions(request: EmbeddingRequest, reports: Reports) -> _Lesions:
    def on_progress(done: int, total: int) -> None:
        reports.stop.check()
        reports.log.report(Stage.PREPARE, done, total)

    recipe, labels = request.recipe, request.labels
    if request.source == PHANTOM:
        return _phantom_lesions(recipe, recipe.phantoms)
    folder = Path(request.source)
    if recipe.likeness is Likeness.TERMS:
        if labels is None:
            raise ConfigError(
                f"Recipe {recipe.name} learns from terms of radiology reports",
                "The folder with the public label files of LesaNet has to be named",
                "Give --labels FOLDER, or choose a recipe that does without: deeplesion-without-reports",
            )
        known = read_report_labels(labels)
        scans = report_looks(folder, known, on_progress=on_progress)
        return _Lesions(scans, len(scans), known.ontology, _digest(scans))
    scans = typed_looks(folder, (Split.TRAIN, Split.VAL), on_progress)
    return _Lesions(scans, len(scans), Ontology.of_types(LESION_TYPES), _digest(scans))


def _phantom_lesions(recipe: EmbeddingRecipe, phantoms: EmbeddingPhantoms | None) -> _Lesions:
    if phantoms is None or recipe.likeness is not Likeness.LESIONS:
        raise ConfigError(
            f"Recipe {recipe.name} was asked for on phantoms, about which no report says anything",
            "A recipe with likeness 'lesions' and a section 'phantoms'",
            "Choose phantom-embedding, or name the folder of DeepLesion with --data",
        )
    scans = training_looks(phantoms)
    digest = fingerprint(PHANTOM, phantoms.model_dump(mode="json"))
    return _Lesions(scans, phantoms.patients * phantoms.studies, Ontology.of_types(TYPES), digest)


def _digest(scans: Iterable[ScanLooks]) -> str:
    return fingerprint([look.model_dump(mode="json") for scan in scans for look in scan.looks])


def _card(request: EmbeddingRequest, steps: int) -> CheckpointCard:
    is_phantom = request.source == PHANTOM
    notices = [DEMO_NOTICE if is_phantom else RESEARCH_NOTICE]
    if request.recipe.likeness is Likeness.LESIONS:
        notices.append(FALLBACK_NOTICE)
    return CheckpointCard(
        trained_on=TrainedOn.PHANTOMS if is_phantom else TrainedOn.PATIENTS,
        notice=" ".join(notices),
        recipe=request.recipe.name,
        steps=steps,
        seed=request.seed,
    )
