"""What mining asks a reader about and in which order, on phantom patients whose whole truth is known.

`python -m benchmarks.mining.curve` detects with the demo model in patients that nothing was tuned on, with half of the
labels withheld, mines them as a project is mined, once with the published threshold of single-type experts and once
with calibrated ones, and lets a simulated reader settle every candidate. It prints what the uncertain rule reaches, the
precision and recall of every rule and of the settled set, and how many lesions are found early in each order of asking;
intervals are over patients. `--out FOLDER` also keeps the numbers and the curves. It takes about five minutes.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import ensure_environment
from benchmarks.mining.phantoms import MinedPhantom, PhantomWard
from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.evaluation.bootstrap import Interval, patient_resamples, percentile_interval
from lens_engine.findings import Box3D, Candidate, CandidateKind, SliceBox, Verdict
from lens_engine.mining.calibration import CalibratedLimit, calibrate_distance_limit
from lens_engine.mining.candidates import mine
from lens_engine.mining.reports.accuracy import (
    SETTLED,
    Located,
    SeriesOutcome,
    found_by_reason,
    lies_at_lesions,
    measure_rules,
)
from lens_engine.mining.reports.review_curve import (
    Question,
    ReviewCurve,
    SeriesTruth,
    review_curve,
    share_found_difference,
    share_found_interval,
)
from lens_engine.mining.reports.review_figure import figure
from lens_engine.mining.reports.tables import accuracy_table
from lens_engine.mining.settings import MiningSettings
from lens_engine.mining.threshold_calibration import calibrate_thresholds
from lens_engine.phantom.patient import (
    DATASETS,
    DEMO_SEEDS,
    GENERATOR_VERSION,
    TEST_SEEDS,
    VAL_SEEDS,
    PhantomSettings,
)
from lens_engine.phantom.simulated_reader import SimulatedReader
from lens_engine.store.queue.order import order_of_asking

SEEDS = {"test": TEST_SEEDS, "val": VAL_SEEDS[100:]}
"""Where patients come from; choices are made on `val`, in other patients than those the demo model was measured on."""
SHARES = (0.1, 0.3, 0.5)
SHUFFLES = 100
AS_ASKED, PURE, BY_SCORE, AT_RANDOM = "as asked", "by priority alone", "by score", "at random"


@dataclass(frozen=True, slots=True)
class Place:
    """What a reader settled, where only the box is known."""

    box: Box3D
    slices: tuple[SliceBox, ...] = ()


@dataclass(frozen=True, slots=True)
class Ward:
    """All patients of one run.

    Attributes
    ----------
    universal
        The series that are mined.
    single_type
        Those of the project's single-type data sets.
    """

    universal: tuple[MinedPhantom, ...]
    single_type: tuple[MinedPhantom, ...]
    limit: CalibratedLimit

    @property
    def patients(self) -> list[str]:
        """Of the mined series, each once, in their order."""
        return list(dict.fromkeys(series.patient for series in self.universal))


@dataclass(frozen=True, slots=True)
class Mined:
    """The candidates of all series with their priorities."""

    candidates: tuple[Candidate, ...]
    priorities: tuple[float, ...]


def main() -> None:
    """Make the patients, mine them twice, and print what was measured."""
    ensure_environment()
    options = _options()
    settings = MiningSettings()
    ward = _admit(options, settings)
    print(
        f"phantom generator {GENERATOR_VERSION}, demo model, {len(ward.patients)} {options.split} patients with "
        f"{len(ward.universal)} series, {options.withheld:.0%} of the labels withheld\n{ward.limit.note}"
    )
    calibrated = calibrate_thresholds((series.mining_input for series in ward.single_type), settings)
    ways = {
        "published threshold": settings,
        "calibrated thresholds": replace(settings, uncertain_min_scores=calibrated.values),
    }
    numbers: dict[str, object] = {}
    for name, way in ways.items():
        print(f"\n{name}\n" + (calibrated.note if way.uncertain_min_scores else ""))
        mined = _mine(ward, way)
        orders = _orders(ward, mined)
        reader = SimulatedReader(_tight_boxes(ward), options.error_rate)
        print(accuracy_table(measure_rules(_outcomes(ward, mined, reader))))
        numbers[name] = _show_uncertain(ward, mined) | _show_orders(orders)
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            figure(orders, name).savefig(options.out / f"{name.replace(' ', '_')}.png")
    if options.out is not None:
        numbers |= {"generator_version": GENERATOR_VERSION, "thresholds": dict(calibrated.values)}
        (options.out / "mining_curve.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mining.curve", description=__doc__)
    parser.add_argument("--split", choices=sorted(SEEDS), default="test")
    parser.add_argument("--patients", type=int, default=20, help="with two studies each")
    parser.add_argument("--single-type", type=int, default=10, help="labelled patients of each single-type data set")
    parser.add_argument("--withheld", type=float, default=0.5, help="share of the lesions that nobody marked")
    parser.add_argument("--error-rate", type=float, default=0.05, help="of the simulated reader")
    parser.add_argument("--out", type=Path, help="folder for the numbers and the pictures")
    return parser.parse_args()


def _admit(options: argparse.Namespace, settings: MiningSettings) -> Ward:
    model, _ = load_checkpoint(demo_checkpoint_folder(), "cpu")
    phantoms = PhantomSettings(withheld_share=options.withheld)
    universal = tuple(PhantomWard(model, phantoms).admit(SEEDS[options.split][: options.patients]))
    labelled = PhantomWard(model, replace(phantoms, studies=1))
    single_type = tuple(
        series for dataset in DATASETS[1:] for series in labelled.admit(DEMO_SEEDS[: options.single_type], dataset)
    )
    limit = calibrate_distance_limit((series.mining_input for series in universal), settings)
    return Ward(universal, single_type, limit)


def _mine(ward: Ward, settings: MiningSettings) -> Mined:
    candidates: list[Candidate] = []
    priorities: list[float] = []
    for patient in ward.patients:
        inputs = [series.mining_input for series in ward.universal if series.patient == patient]
        mined = mine(inputs, settings, ward.limit)
        candidates += mined.candidates
        priorities += mined.priorities
    return Mined(tuple(candidates), tuple(priorities))


def _tight_boxes(ward: Ward) -> dict[str, list[Box3D]]:
    return {series.name: [lesion.tight_box for lesion in series.truth] for series in ward.universal}


def _outcomes(ward: Ward, mined: Mined, reader: SimulatedReader) -> list[SeriesOutcome]:
    """Return what each rule found, what the reader made of it, and that with what the reader added."""
    outcomes = []
    for series in ward.universal:
        own = _of_series(mined.candidates, series)
        settled = _settled(own, series.name, reader)
        known = [*(candidate.finding.box for candidate in own), *(note.box for note in series.mining_input.annotations)]
        added = [Place(box) for box in reader.missed(series.name, known)]
        found: dict[str, Sequence[Located]] = {
            **found_by_reason(own),
            SETTLED: settled,
            f"{SETTLED} or added": [*settled, *added],
        }
        outcomes.append(SeriesOutcome(found, series.truth, series.mining_input.annotations))
    return outcomes


def _settled(candidates: Iterable[Candidate], name: str, reader: SimulatedReader) -> list[Located]:
    settled: list[Located] = []
    for candidate in candidates:
        answer = reader.answer(name, candidate.finding.box)
        if answer.verdict is Verdict.ACCEPTED:
            settled.append(candidate.finding)
        elif answer.verdict is Verdict.ADJUSTED:
            settled.append(Place(answer.box))
    return settled


def _show_uncertain(ward: Ward, mined: Mined) -> dict[str, object]:
    """Print and return what uncertain candidates reach of the withheld lesions in the scopes of their experts.

    No candidate is uncertain where a match says that an annotation is missing, so that is counted apart, too.
    """
    names = ward.patients
    counts = np.zeros((6, len(names)))  # found, wanted, false ones, series, found and wanted that no match asks about
    for series in ward.universal:
        wanted = [lesion for lesion in series.truth if not lesion.is_labelled and lesion.lesion_type in DATASETS[1:]]
        candidates = _of_series(mined.candidates, series)
        uncertain = [c for c in candidates if c.kind is CandidateKind.UNCERTAIN]
        is_found = _reached(uncertain, wanted)
        is_left = ~_reached([c for c in candidates if c.kind is CandidateKind.MISSING_ANNOTATION], wanted)
        false = sum(not lies_at_lesions([candidate.finding], series.truth).any() for candidate in uncertain)
        row = (is_found.sum(), len(wanted), false, 1, (is_found & is_left).sum(), is_left.sum())
        counts[:, names.index(series.patient)] += row
    weights = patient_resamples(names, np.random.default_rng(0))
    recall, false_per_series, of_rest = (
        _ratio(counts[top], counts[bottom], weights) for top, bottom in ((0, 1), (2, 3), (4, 5))
    )
    print(
        f"uncertain candidates: {_in_percent(recall)} of {counts[1].sum():.0f} withheld lesions in the experts' scopes "
        f"and {_in_percent(of_rest)} of the {counts[5].sum():.0f} that no match asks about, at "
        f"{false_per_series.value:.2f} ({false_per_series.low:.2f} to {false_per_series.high:.2f}) false ones a series"
    )
    return {
        "recall": _as_values(recall),
        "recall of the rest": _as_values(of_rest),
        "false_per_series": _as_values(false_per_series),
    }


def _reached(candidates: Sequence[Candidate], lesions: Sequence[Located]) -> NDArray[np.bool_]:
    """Return for each lesion whether a candidate lies at it."""
    reached = np.zeros(len(lesions), dtype=np.bool_)
    for candidate in candidates:
        reached |= lies_at_lesions([candidate.finding], lesions)[0]
    return reached


def _in_percent(share: Interval) -> str:
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _ratio(top: NDArray[np.float64], bottom: NDArray[np.float64], weights: NDArray[np.int64]) -> Interval:
    return percentile_interval(float(top.sum() / bottom.sum()), (weights @ top) / (weights @ bottom))


def _orders(ward: Ward, mined: Mined) -> dict[str, list[ReviewCurve]]:
    series_of = {series.mining_input.series_id: series for series in ward.universal}
    truth = {series.name: SeriesTruth(series.truth, series.mining_input.annotations) for series in ward.universal}
    questions = [
        Question(series_of[candidate.series_id].name, series_of[candidate.series_id].patient, candidate.finding)
        for candidate in mined.candidates
    ]
    count, generator = len(questions), np.random.default_rng(0)
    series_ids = [candidate.series_id for candidate in mined.candidates]
    scores = np.asarray([candidate.finding.score for candidate in mined.candidates])
    rows: Mapping[str, list[Sequence[int]]] = {
        AS_ASKED: [order_of_asking(series_ids, mined.priorities, [True] * count).tolist()],
        PURE: [np.argsort(-np.asarray(mined.priorities), kind="stable").tolist()],
        BY_SCORE: [np.argsort(-scores, kind="stable").tolist()],
        AT_RANDOM: [generator.permutation(count).tolist() for _ in range(SHUFFLES)],
    }
    return {
        name: [review_curve([questions[row] for row in order], truth) for order in orders]
        for name, orders in rows.items()
    }


def _show_orders(orders: Mapping[str, Sequence[ReviewCurve]]) -> dict[str, object]:
    """Print and return which share of the lesions that the queue finds each order finds early."""
    first = orders[AS_ASKED][0]
    print(f"{first.found()[-1]} unmarked lesions are found by {len(first.new_lesions)} questions; found within")
    numbers: dict[str, object] = {"questions": len(first.new_lesions), "lesions": int(first.found()[-1])}
    for name, curves in orders.items():
        shares = {share: share_found_interval(curves, share, np.random.default_rng(0)) for share in SHARES}
        cells = (f"{share:.0%}: {v.value:5.1%} ({v.low:5.1%} to {v.high:5.1%})" for share, v in shares.items())
        print(f"  {name:18} " + "   ".join(cells))
        numbers[name] = {str(share): _as_values(interval) for share, interval in shares.items()}
    for other in (BY_SCORE, AT_RANDOM):
        more = share_found_difference(orders[other], orders[AS_ASKED], 0.3, np.random.default_rng(0))
        print(f"  within 30% {AS_ASKED} more than {other}: {more.value:+.1%} ({more.low:+.1%} to {more.high:+.1%})")
        numbers[f"{AS_ASKED} minus {other}"] = _as_values(more)
    return numbers


def _of_series(candidates: Iterable[Candidate], series: MinedPhantom) -> list[Candidate]:
    return [candidate for candidate in candidates if candidate.series_id == series.mining_input.series_id]


def _as_values(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


if __name__ == "__main__":
    main()
