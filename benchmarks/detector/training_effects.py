"""What a choice of training changes in a converged network: phantoms, several seeds, one measure fixed beforehand.

`python -m benchmarks.detector.training_effects crop` compares one crop for a volume with one for each slice;
`... optimiser` compares ways of weight decay. Every arm is a recipe that inherits from `phantom-demo` and runs once for
each seed, by `lens recipe run`. What came out of each is kept in `training_effects.jsonl` beside this file and is not
run again, so that an experiment may take several days and computers; runs of another length are kept apart.
`--processes 2` runs two trainings side by side; `--steps 200 --seeds 2 --kept FILE` tries the command.

The primary measure is the average sensitivity of the fused findings on the recipe's validation phantoms, by the
published rule (3D IoBB of at least 0.3), as the mean over seeds of its difference to the first arm, which is the
default. A default changes only where the 95 % interval of that difference lies above zero. One training of 6,000 steps,
half those of the model that ships, takes about 20 minutes of one core.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import yaml
from scipy import stats

from benchmarks.conditions import conditions, ensure_environment
from lens_training.recipes.files import load_recipe
from lens_training.reproduction.measuring.results import RESULTS_FILE

PARENT = "phantom-demo"
KEPT = Path(__file__).with_suffix(".jsonl")
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
    },
}
"""The arms of each experiment, the default first, as what a recipe says beside its parent."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training of one arm.

    Attributes
    ----------
    text
        Its recipe file.
    identity
        Hash of all that the recipe says with what it inherits: equal for arms that are the same in two experiments.
    """

    text: str
    identity: str
    steps: int
    seed: int

    @staticmethod
    def of(arm: Mapping[str, object], steps: int, seed: int) -> "Run":
        """Return the run of what an arm says beside the parent."""
        text = yaml.safe_dump({"inherits": PARENT, "stores_half": False, **arm}, sort_keys=False)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "arm.yaml"
            path.write_text(text, encoding="utf-8")
            whole = load_recipe(str(path)).model_dump_json()
        return Run(text, hashlib.sha256(whole.encode()).hexdigest()[:16], steps, seed)

    def kept(self, file: Path) -> float | None:
        """Return the average sensitivity that came out, None before it was run."""
        runs = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
        found = [float(run["average"]) for run in runs if run["run"] == [self.identity, self.steps, self.seed]]
        return found[-1] if found else None

    def do(self, out: Path, file: Path) -> None:
        """Train and measure, and keep the average."""
        folder = out / f"{self.identity}-steps-{self.steps}-seed-{self.seed}"
        recipe = folder.with_suffix(".yaml")
        recipe.write_text(self.text, encoding="utf-8")
        command = [sys.executable, "-m", "lens_training", "recipe", "run", str(recipe), "--scale", "published"]
        length = ["--steps", str(self.steps), "--seed", str(self.seed), "--out", str(folder), "--resume"]
        subprocess.run([*command, *length], check=True)
        average = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))["told"]["average"]
        line = {
            "run": [self.identity, self.steps, self.seed],
            "recipe": yaml.safe_load(self.text),
            "average": average,
            "conditions": conditions(),
        }
        with file.open("a", encoding="utf-8") as kept:
            kept.write(json.dumps(line) + "\n")
        print(f"{average:.3f} with seed {self.seed} of {self.text}", flush=True)


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
    """Run every arm with every seed that is not there yet, and print the differences."""
    ensure_environment()
    options = _options()
    options.out.mkdir(parents=True, exist_ok=True)
    runs = {
        arm: [Run.of(said, options.steps, seed) for seed in range(options.seeds)]
        for arm, said in EFFECTS[options.effect].items()
    }
    missing = [run for of_seed in zip(*runs.values(), strict=True) for run in of_seed if run.kept(options.kept) is None]
    with ThreadPoolExecutor(options.processes) as pool:
        list(pool.map(lambda run: run.do(options.out, options.kept), missing))
    averages = {arm: [one for run in own if (one := run.kept(options.kept)) is not None] for arm, own in runs.items()}
    for name, row in differences(averages).items():
        print(f"{name:50} {row.mean:6.3f}  {row.difference:+7.3f} ({row.low:+.3f} to {row.high:+.3f})")


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


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector.training_effects", description=__doc__)
    parser.add_argument("effect", choices=sorted(EFFECTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=6000, help="length of each training")
    parser.add_argument("--processes", type=int, default=1, help="trainings side by side, of one thread each")
    parser.add_argument("--kept", type=Path, default=KEPT, help="the file of what came out")
    parser.add_argument("--out", type=Path, default=Path("runs/training-effects"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
