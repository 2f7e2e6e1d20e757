"""Phantom patients as mining reads them, with the truth that a project does not know."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from lens_engine.boxes import pad_in_plane
from lens_engine.checkpoint_card import shipped_embedding_folder
from lens_engine.detector.assembly import LensDetector
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector
from lens_engine.findings import Box3D, Scope, SliceBox, box_from_slices
from lens_engine.lesion_embedding.embedding import LesionEmbedder
from lens_engine.mining.inputs import AnnotationOnSeries, SeriesMiningInput
from lens_engine.mining.looks import ComparedBoxes, SeriesLesions, compared_rows, embed_series
from lens_engine.mining.settings import MiningSettings
from lens_engine.phantom.patient import UNIVERSAL, PhantomLesion, PhantomSeries, PhantomSettings, make_patient
from lens_engine.phantom.write_tables import BOX_MARGIN_PIXELS, series_name


@dataclass(frozen=True, slots=True)
class TrueLesion:
    """A lesion that a phantom has.

    Attributes
    ----------
    tight_box
        Around the lesion itself.
    box, slices
        With the margin that mined boxes have.
    is_labelled
        Whether the annotations show it.
    """

    lesion_type: str
    tight_box: Box3D
    box: Box3D
    slices: tuple[SliceBox, ...]
    is_labelled: bool


@dataclass(frozen=True, slots=True, eq=False)
class MinedPhantom:
    """One series of a phantom patient, after detection.

    Attributes
    ----------
    patient
        Equal for the series of one patient.
    """

    name: str
    patient: str
    mining_input: SeriesMiningInput
    truth: tuple[TrueLesion, ...]


class PhantomWard:
    """Makes patients, detects in their series, and numbers them as a catalog would.

    Parameters
    ----------
    model
        In evaluation mode.
    settings
        How the patients are scanned, and which share of the labels is withheld.
    """

    def __init__(self, model: LensDetector, settings: PhantomSettings) -> None:
        self._embedder = LesionEmbedder(shipped_embedding_folder(), "cpu")
        self._detector = InferenceDetector(model)
        self._settings = settings
        self._series = self._annotations = 0

    def admit(self, seeds: Sequence[int], dataset: str = UNIVERSAL) -> Iterator[MinedPhantom]:
        """Yield the series of patients of one data set, those of a patient after another."""
        for seed in seeds:
            for series in make_patient(seed, dataset, self._settings).series:
                yield self._look_at(seed, dataset, series)

    def _look_at(self, seed: int, dataset: str, series: PhantomSeries) -> MinedPhantom:
        found = detect_with(self._detector, series.volume)
        marks = [lesion for lesion in series.lesions if lesion.is_labelled]
        drawn = [_key_slice_mark(lesion) if dataset == UNIVERSAL else _whole_extent(lesion) for lesion in marks]
        notes = [self._annotation(lesion, sections) for lesion, sections in zip(marks, drawn, strict=True)]
        lesions = SeriesLesions(tuple(notes))
        boxes = ComparedBoxes.of(found.proposals, compared_rows(found.proposals, notes, MiningSettings()))
        vectors = embed_series(partial(self._embedder.embed, series.volume), lesions, boxes)
        self._series += 1
        return MinedPhantom(
            name=f"{dataset} {series_name(seed, series.study_number, series.series_number)}",
            patient=f"{dataset} {seed}",
            mining_input=SeriesMiningInput(
                series_id=self._series,
                patient_id=seed,
                study_id=self._series,
                slices=series.volume.geometry.shape[0],
                proposals=vectors.of_boxes(found.proposals),
                findings=found.findings,
                annotations=vectors.of_lesions(lesions).annotations,
                scope=Scope.UNIVERSAL if dataset == UNIVERSAL else Scope.SINGLE_TYPE,
                dataset=dataset,
                universal_experts=(UNIVERSAL,),
            ),
            truth=tuple(_true_lesion(lesion) for lesion in series.lesions),
        )

    def _annotation(self, lesion: PhantomLesion, sections: tuple[SliceBox, ...]) -> AnnotationOnSeries:
        self._annotations += 1
        key_slice = lesion.key_slice if len(sections) == 1 else None
        return AnnotationOnSeries(self._annotations, box_from_slices(sections), sections, key_slice)


def _key_slice_mark(lesion: PhantomLesion) -> tuple[SliceBox, ...]:
    """Return the box around the RECIST marks with its margin, on one slice (algorithms 1.4)."""
    ends = np.asarray(lesion.recist).reshape(4, 2) + 0.5  # pixel centres to voxel edges
    (x1, y1), (x2, y2) = ends.min(axis=0) - BOX_MARGIN_PIXELS, ends.max(axis=0) + BOX_MARGIN_PIXELS
    return (SliceBox(lesion.key_slice, (float(x1), float(y1), float(x2), float(y2))),)


def _whole_extent(lesion: PhantomLesion) -> tuple[SliceBox, ...]:
    padded = pad_in_plane(np.asarray([section.box for section in lesion.slices]), BOX_MARGIN_PIXELS)
    return tuple(
        SliceBox(section.slice_index, (x1, y1, x2, y2))
        for section, (x1, y1, x2, y2) in zip(lesion.slices, padded.tolist(), strict=True)
    )


def _true_lesion(lesion: PhantomLesion) -> TrueLesion:
    sections = _whole_extent(lesion)
    return TrueLesion(lesion.lesion_type, lesion.box, box_from_slices(sections), sections, lesion.is_labelled)
