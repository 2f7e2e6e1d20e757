"""How good a detector is on completely annotated scans: FROC by the official rules (spec 9.1)."""

from collections.abc import Sequence

import numpy as np

from lens_engine.boxes import Overlap
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.predict import detect
from lens_engine.evaluation.bootstrap import bootstrap_interval
from lens_engine.findings import FUSED, Finding
from lens_engine.froc import match, prediction_rows
from lens_training.datasets.case import Case
from lens_training.progress import ProgressLog, Stage
from lens_training.stopping import StopSignal

EVALUATION_SCORE = 0.01
"""Score threshold of FROC curves (spec 4.4)."""


def measure(model: LensDetector, cases: Sequence[Case], log: ProgressLog, stop: StopSignal) -> dict[str, float]:
    """Return the average sensitivity at 1/8 to 8 false positives per scan, by expert and overlap rule.

    Names are such as `fused average sensitivity IoBB 0.3`; for the fused output the 95 % interval over patients and the
    numbers of scans and lesions come along.
    """
    post = model.config.post.model_copy(update={"score_threshold": EVALUATION_SCORE})
    found: dict[str, tuple[Finding, ...]] = {}
    for done, case in enumerate(cases):
        stop.check()
        log.report(Stage.EVALUATE, done, len(cases))
        found[case.name] = detect(model, case.load(), post=post).findings
    log.report(Stage.EVALUATE, len(cases), len(cases))
    truths = {case.name: case.truth for case in cases}
    metrics = {"scans": float(len(cases)), "lesions": float(sum(len(truth) for truth in truths.values()))}
    for overlap in (Overlap.IOBB, Overlap.IOU):
        for expert in (FUSED, *model.config.experts):
            predictions = {name: prediction_rows(findings, expert) for name, findings in found.items()}
            matches = match(predictions, truths, overlap)
            name = f"{expert} average sensitivity {overlap} 0.3"
            metrics[name] = round(matches.curve().average_sensitivity, 4)
            if expert == FUSED:
                patients = [case.patient for case in cases]
                interval = bootstrap_interval(matches, patients, np.random.default_rng(0))
                metrics[f"{name} low"], metrics[f"{name} high"] = round(interval.low, 4), round(interval.high, 4)
    return metrics
