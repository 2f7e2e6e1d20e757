"""How often matches within a patient are right, on test phantoms half of whose lesions were not marked.

`python -m benchmarks.mining.lesion_matches` prints precision and recall with intervals over patients, for the shipped
detector and the shipped lesion embedding, or those of `--detector` and `--embedding`. Choices are made with `--seeds
val`.
"""

import argparse
from pathlib import Path

from lens_engine.checkpoint_card import demo_checkpoint_folder, shipped_embedding_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.lesion_embedding.checkpoint import load_embedding
from lens_engine.phantom.patient import TEST_SEEDS, VAL_SEEDS
from lens_training.lesion_embedding.matching import measure_on_phantoms

SEEDS = {"test": TEST_SEEDS, "val": VAL_SEEDS}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining.lesion_matches", description=__doc__)
    parser.add_argument("--seeds", choices=sorted(SEEDS), default="test")
    parser.add_argument("--patients", type=int, default=10)
    parser.add_argument("--studies", type=int, default=2)
    parser.add_argument("--withheld", type=float, default=0.5, help="share of the lesions that are not marked")
    parser.add_argument("--detector", type=Path, default=demo_checkpoint_folder())
    parser.add_argument("--embedding", type=Path, default=shipped_embedding_folder())
    options = parser.parse_args()
    detector, _ = load_checkpoint(options.detector)
    network, card = load_embedding(options.embedding)
    seeds = SEEDS[options.seeds][: options.patients]
    report = measure_on_phantoms(network, detector, seeds, options.withheld, options.studies)
    print(f"embedding {card.recipe} {card.weights_digest[:12]}, {options.seeds} patients {seeds[0]} to {seeds[-1]}")
    print(report.text, end="")


if __name__ == "__main__":
    main()
