"""The numbers that mining depends on, as published unless said otherwise."""

from dataclasses import dataclass, fields

from lens_engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """Thresholds of the mining rules.

    Attributes
    ----------
    tracklet_min_score
        Fused 2D boxes below this score are not linked into tracklets (spec 5.0).
    linking_iou
        Boxes of neighbouring grid slices are one lesion above this IoU (theta, spec 4.5 and 5.1).
    key_slice_iou
        A tracklet continues an annotation above this IoU on the annotated slice (theta, spec 5.1).
    published_distance_limit
        Distance of two embeddings of one lesion, used where calibration is not possible (delta, spec 5.2).
    uncertain_min_score
        A single-type expert must be surer than this (sigma, spec 5.3).
    overlap_ratio
        A box is at an annotated place when it shares more than this of its own or of the annotated area (theta,
        spec 5.3). Ours: two pieces that follow each other along z are one lesion when their ends do.
    uncertain_nms_iou
        Of two uncertain boxes on a slice with a higher IoU the better one stays (theta, spec 5.3).
    same_lesion_iou
        Candidates with at least this 3D IoU are one question to the reader. Ours: equal to the overlap at which a
        decision is inherited.
    max_cross_patient_share
        Largest share of comparisons with a wrong patient that a calibrated distance limit may let through. Ours.
    min_calibration_pairs
        Comparisons (one annotation, one other patient) without which the limit is not calibrated. Ours: fewer than 100
        cannot resolve one per cent.
    calibration_patients
        Patients that are compared with each other; more cost time and change little. Ours.
    """

    tracklet_min_score: float = 0.05
    linking_iou: float = 0.5
    key_slice_iou: float = 0.5
    published_distance_limit: float = 0.15
    uncertain_min_score: float = 0.5
    overlap_ratio: float = 0.5
    uncertain_nms_iou: float = 0.5
    same_lesion_iou: float = 0.3
    max_cross_patient_share: float = 0.01
    min_calibration_pairs: int = 100
    calibration_patients: int = 200

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            upper = {"published_distance_limit": 2.0, "min_calibration_pairs": None, "calibration_patients": None}.get(
                setting.name, 1.0
            )
            if not (value >= 0 and (upper is None or value <= upper)):
                raise ConfigError(
                    f"The mining setting {setting.name} is {value}",
                    f"A number from 0 to {upper} is needed" if upper is not None else "A number from 0 is needed",
                    f"The default is {setting.default}",
                )
