"""What a choice of training changes in a converged network: phantoms, several seeds, one measure fixed beforehand.

`python -m benchmarks.detector.training_effects crop` compares one crop for a volume with one for each slice;
`... optimiser` compares ways of weight decay. Every arm is a recipe that inherits from `phantom-demo` and runs once for
each seed, by `lens recipe run`; what is finished is not run again. `--steps 200 --seeds 2` tries the command.

The primary measure is the average sensitivity of the fused findings on the recipe's validation phantoms, by the
published rule (3D IoBB of at least 0.3), as the mean over seeds of its difference to the first arm, which is the
default. A default changes only where the 95 % interval of that difference lies above zero. One training takes about
40 minutes of one core.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import yaml
from scipy import stats

from benchmarks.conditions import conditions, ensure_environment
from lens_training.reproduction.measuring.results import RESULTS_FILE

PARENT = "phantom-demo"
MULAN = {"decays_normalisation": True, "normalisation_rate": 1.0}
EFFECTS: Mapping[str, Mapping[str, Mapping[str, object]]] = {
    "crop": {
        "one crop for a volume": {"detector": {"crop": "volume"}},
        "one crop for each slice": {"detector": {"crop": "slice"}},
    },
    "optimiser": {
        "coupled decay, of normalisation too (MULAN)": {"schedule": MULAN},
        "coupled decay, not of normalisation": {"schedule": MULAN | {"decays_normalisation": False}},
        "the same, normalisation at twice the rate": {
            "schedule": {"decays_normalisation": False, "normalisation_rate": 2.0}
        },
        "decoupled decay, of normalisation too": {"schedule": MULAN | {"decouples_decay": True}},
        "no decay": {"schedule": MULAN | {"weight_decay": 0.0}},
    },
}
"""The arms of each experiment, the default first, as what a recipe says beside its parent."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How an arm compares with the first one.

    Attributes
    ----------
    mean
        Of the averages of its seeds.
    difference
        Mean over seeds of its average less that of the first arm; 0 for the first arm.
    low, high
        95 % interval of the difference over seeds (Student); infinite with one seed.
    """

    mean: float
    difference: float
    low: float
    high: float


def main() -> None:
    """Run every arm with every seed, and print the differences."""
    ensure_environment()
    options = _options()
    averages = {
        arm: [_average(options, number, arm, seed) for seed in range(options.seeds)]
        for number, arm in enumerate(EFFECTS[options.effect])
    }
    found = differences(averages)
    for arm, row in found.items():
        print(f"{arm:50} {row.mean:6.3f}  {row.difference:+7.3f} ({row.low:+.3f} to {row.high:+.3f})")
    written = {
        "conditions": conditions(),
        "steps": options.steps,
        "averages": averages,
        "differences": {arm: asdict(row) for arm, row in found.items()},
    }
    (options.out / f"{options.effect}.json").write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def differences(averages: Mapping[str, list[float]]) -> dict[str, Difference]:
    """Compare the averages of the seeds of each arm with those of the first one, seed by seed."""
    first = np.asarray(next(iter(averages.values())))
    found = {}
    for arm, own in averages.items():
        paired = np.asarray(own) - first
        spread = paired.std(ddof=1) / np.sqrt(len(paired)) if len(paired) > 1 else np.inf
        reach = float(stats.t.ppf(0.975, len(paired) - 1) * spread) if len(paired) > 1 else np.inf
        mean = float(paired.mean())
        found[arm] = Difference(float(np.mean(own)), mean, mean - reach, mean + reach)
    return found


def recipe_of(effect: str, arm: str) -> str:
    """Return the recipe file of an arm."""
    return yaml.safe_dump({"inherits": PARENT, "stores_half": False, **EFFECTS[effect][arm]}, sort_keys=False)


def _average(options: argparse.Namespace, number: int, arm: str, seed: int) -> float:
    """Return the average sensitivity of one run, which is done where it is not yet."""
    folder = options.out / options.effect / f"arm-{number}-seed-{seed}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    recipe = folder.with_suffix(".yaml")
    recipe.write_text(recipe_of(options.effect, arm), encoding="utf-8")
    length = [] if options.steps is None else ["--steps", str(options.steps)]
    command = [sys.executable, "-m", "lens_training", "recipe", "run", str(recipe), "--scale", "published"]
    subprocess.run([*command, *length, "--seed", str(seed), "--out", str(folder), "--resume"], check=True)
    average = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))["told"]["average"]
    print(f"{arm}, seed {seed}: {average:.3f}", flush=True)
    return float(average)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector.training_effects", description=__doc__)
    parser.add_argument("effect", choices=sorted(EFFECTS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="length of each training, instead of the recipe's")
    parser.add_argument("--out", type=Path, default=Path("runs/training-effects"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
