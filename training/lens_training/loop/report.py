"""What the experiment found, as values, as a page of text and as a figure."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lens_engine.boxes import Overlap
from lens_engine.evaluation.report import MeasuredValue
from lens_engine.findings import FUSED
from lens_engine.phantom.patient import GENERATOR_VERSION, UNIVERSAL
from lens_training.loop.design import PART_ARMS, Arm, LoopDesign, Order
from lens_training.loop.measuring import ArmMeasure, difference_of, mean_of, measure, recovered_share
from lens_training.loop.replicate import BASE, ReplicateOutcome

OUTPUTS = (FUSED, UNIVERSAL)
RULES = (Overlap.IOBB, Overlap.IOU)
DETECTORS = (BASE, *(arm.value for arm in Arm))
SHOWN = tuple(name for name in DETECTORS if name not in PART_ARMS.values())
"""The detectors that the first figure compares; the others are those of the orders."""
PRIMARY = (FUSED, Overlap.IOBB)
"""The measure that the experiment is about: decided minus original, average sensitivity."""

_FROZEN = ConfigDict(frozen=True, extra="forbid")


class OutputResult(BaseModel):
    """One output of the detectors by one matching rule; average sensitivities in [0, 1].

    Attributes
    ----------
    averages
        Mean over replicates, by detector.
    by_replicate
        The same of each replicate.
    gains
        Each arm but the first minus the arm that learned from the original labels.
    recovered
        Share of the way from the original labels to complete truth that mining and decisions have gone.
    order_gains
        After a part of the candidates: the order in which the queue asks minus each other order.
    """

    model_config = _FROZEN

    output: str
    rule: str
    averages: dict[str, MeasuredValue]
    by_replicate: dict[str, tuple[float, ...]]
    gains: dict[str, MeasuredValue]
    recovered: MeasuredValue
    order_gains: dict[str, MeasuredValue]


class LoopResults(BaseModel):
    """Everything measured, with the design that it belongs to."""

    model_config = _FROZEN

    design: LoopDesign
    generator_version: int
    test_patients: int
    test_lesions: int
    labels: tuple[dict[str, dict[str, int]], ...]
    candidates: tuple[dict[str, int], ...]
    answers: tuple[dict[str, dict[str, int]], ...]
    outputs: tuple[OutputResult, ...]

    def result(self, output: str, rule: Overlap) -> OutputResult:
        """Return one of the results."""
        return next(item for item in self.outputs if (item.output, item.rule) == (output, rule.value))

    @property
    def text(self) -> str:
        """The results as Markdown."""
        return "\n".join([self._primary(), "", *(self._table(item) for item in self.outputs), self._learned_from()])

    def _primary(self) -> str:
        fused = self.result(*PRIMARY)
        gain, share = fused.gains[Arm.DECIDED.value], fused.recovered
        return (
            f"{self.test_patients} test patients with {self.test_lesions} lesions, {self.design.replicates} runs, "
            f"phantom generator {self.generator_version}. Primary measure, fused output, average sensitivity at IoBB "
            f"0.3: mined and decided minus original labels {gain.in_percent} points; {share.in_percent} % of the way "
            "to complete truth."
        )

    def _table(self, item: OutputResult) -> str:
        replicates = range(1, self.design.replicates + 1)
        lines = [
            f"**{item.output}, {item.rule} ≥ 0.3**",
            "",
            "| labels | average sensitivity, % | gain, points | " + " | ".join(f"run {n}" for n in replicates) + " |",
            "| --- | --- | --- | " + " | ".join("---" for _ in replicates) + " |",
        ]
        for name in DETECTORS:
            gain = item.gains[name].in_percent if name in item.gains else ""
            runs = " | ".join(f"{100 * value:.1f}" for value in item.by_replicate[name])
            lines.append(f"| {name} | {item.averages[name].in_percent} | {gain} | {runs} |")
        orders = "; ".join(f"{order} {gain.in_percent} points" for order, gain in item.order_gains.items())
        lines += [
            "",
            f"Of the way to complete truth: {item.recovered.in_percent} %. After {self.design.part:.0%} of the "
            f"candidates, {Order.AS_ASKED} minus {orders}.",
            "",
        ]
        return "\n".join(lines)

    def _learned_from(self) -> str:
        lines = []
        for number in range(self.design.replicates):
            lines += [
                f"Run {number + 1}: candidates {_in_words(self.candidates[number])}.",
                *(self._learned(number, arm) for arm in self.labels[number]),
                "",
            ]
        return "\n".join(lines)

    def _learned(self, number: int, arm: str) -> str:
        answers = self.answers[number].get(arm)
        said = f"; answers: {_in_words(answers)}" if answers else ""
        return f"- {arm}: {_in_words(self.labels[number][arm])}{said}"


def results_of(
    design: LoopDesign, outcomes: Sequence[ReplicateOutcome], truth: Mapping[str, NDArray[np.float64]]
) -> LoopResults:
    """Measure and compare everything.

    Parameters
    ----------
    truth
        (n, 6) true boxes of every test series, with the margin that detectors are taught.
    """
    return LoopResults(
        design=design,
        generator_version=GENERATOR_VERSION,
        test_patients=len(truth),
        test_lesions=sum(len(boxes) for boxes in truth.values()),
        labels=tuple(outcome.labels for outcome in outcomes),
        candidates=tuple(outcome.candidates for outcome in outcomes),
        answers=tuple(outcome.answers for outcome in outcomes),
        outputs=tuple(_result(outcomes, truth, output, rule) for output in OUTPUTS for rule in RULES),
    )


def figure_of(results: LoopResults) -> Figure:
    """Draw the average sensitivity of each detector with its interval and every replicate, for both outputs."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    axes = figure.subplots(1, len(OUTPUTS), sharey=True)
    for axis, output in zip(axes, OUTPUTS, strict=True):
        _draw(axis, results.result(output, PRIMARY[1]))
    axes[0].set_ylabel("average sensitivity, %")
    gain = results.result(*PRIMARY).gains[Arm.DECIDED.value].in_percent
    figure.suptitle(f"Mined and decided minus original labels: {gain} points (fused)", fontsize=11)
    return figure


def figure_of_orders(results: LoopResults) -> Figure:
    """Draw the average sensitivity of both outputs against the share of the candidates that a reader decided."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    axes = figure.subplots(1, len(OUTPUTS), sharey=True)
    for axis, output in zip(axes, OUTPUTS, strict=True):
        _draw_orders(axis, results.result(output, PRIMARY[1]), results.design.part)
    axes[0].set_ylabel("average sensitivity, %")
    axes[0].legend(fontsize=8, frameon=False, loc="lower right", bbox_to_anchor=(0.93, 0))
    figure.suptitle("What the next detector gains from the candidates decided, by the order of asking", fontsize=11)
    return figure


def _draw_orders(axis: Axes, item: OutputResult, part: float) -> None:
    """Draw one line for each order; they begin at what mining alone gives and end where everything is decided."""
    for shift, (order, arm) in zip((-0.6, 0.0, 0.6), PART_ARMS.items(), strict=True):
        averages = [item.averages[name] for name in (Arm.MINED.value, arm.value, Arm.DECIDED.value)]
        middle, low, high = (
            np.array([100 * (value or 0.0) for value in values])
            for values in zip(*((one.value, one.low, one.high) for one in averages), strict=True)
        )
        shares = np.array([0, 100 * part, 100]) + shift
        colour = {Order.AS_ASKED: "tab:blue", Order.BY_SCORE: "tab:orange", Order.AT_RANDOM: "0.55"}[order]
        axis.errorbar(shares, middle, (middle - low, high - middle), marker="o", color=colour, label=order.value)
    axis.set_xlabel("candidates decided, %")
    axis.set_title(item.output, fontsize=10)
    axis.grid(axis="y", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)


def _draw(axis: Axes, item: OutputResult) -> None:
    places = np.arange(len(SHOWN))
    for place, name in zip(places, SHOWN, strict=True):
        average = item.averages[name]
        colour = "tab:blue" if name == Arm.DECIDED.value else "0.55"
        low, high = (100 * (end or 0.0) for end in (average.low, average.high))
        axis.plot([place, place], [low, high], color=colour, linewidth=3, solid_capstyle="butt")
        axis.plot([place], [100 * (average.value or 0.0)], "o", color=colour, markersize=9)
    runs = np.array([item.by_replicate[name] for name in SHOWN]) * 100
    axis.plot(places, runs, color="0.8", linewidth=0.8, zorder=0)
    axis.set_xticks(places, [name.replace(" and ", "\nand ") for name in SHOWN], fontsize=8, rotation=20)
    axis.set_title(item.output, fontsize=10)
    axis.grid(axis="y", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)


def _result(
    outcomes: Sequence[ReplicateOutcome], truth: Mapping[str, NDArray[np.float64]], output: str, rule: Overlap
) -> OutputResult:
    measures: dict[str, list[ArmMeasure]] = {
        name: [measure(outcome.findings[name], truth, output, rule) for outcome in outcomes] for name in DETECTORS
    }
    original, as_asked = measures[Arm.ORIGINAL.value], PART_ARMS[Order.AS_ASKED].value
    others = [arm.value for arm in Arm if arm is not Arm.ORIGINAL]
    return OutputResult(
        output=output,
        rule=rule.value,
        averages={name: MeasuredValue.of(mean_of(measures[name])) for name in DETECTORS},
        by_replicate={name: tuple(one.value for one in measures[name]) for name in DETECTORS},
        gains={name: MeasuredValue.of(difference_of(original, measures[name])) for name in others},
        recovered=MeasuredValue.of(
            recovered_share(original, measures[Arm.DECIDED.value], measures[Arm.COMPLETE.value])
        ),
        order_gains={
            order.value: MeasuredValue.of(difference_of(measures[PART_ARMS[order].value], measures[as_asked]))
            for order in PART_ARMS
            if order is not Order.AS_ASKED
        },
    )


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
