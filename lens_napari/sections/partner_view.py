"""The marked lesion that a candidate is said to be, read in the background and scrolled with the picture.

Both lesions are looked at from their key slices: when the picture moves, the partner moves by the same millimetres.
Answers that come too late are dropped by their generation number.
"""

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QObject, Signal

from lens_engine.errors import LensError
from lens_engine.store.candidates import CandidateRecord
from lens_napari.review.partners import FoundPartner, LesionToCompare, compared_side_mm, partner_reason
from lens_napari.review.project_store import message_of, scan_in_words
from lens_napari.review.wording import Partner
from lens_napari.sections.partner_pictures import PartnerPictures
from lens_napari.sections.picture import Outline, Section, SectionPicture
from lens_napari.sections.planes import Plane, linked_slice
from lens_napari.viewer.background import Lane
from lens_napari.viewer.palette import ANNOTATION_COLOUR, CANDIDATE_COLOUR
from lens_napari.viewer.series_view import SeriesView

READING = "Reading the scan of the marked lesion …"
CANNOT_BE_READ = "The scan of the marked lesion cannot be read."
ENDS_HERE = "This scan does not reach so far."
LINE_PIXELS = 1.5

Find = Callable[[CandidateRecord], FoundPartner | None]
"""Reads the partner of a candidate; it may take long."""


class PartnerView(QObject):  # type: ignore[misc]  # qtpy carries no types
    """Shows the partner of the lesion asked about, as long as there is one.

    Parameters
    ----------
    view
        The series on screen, with the lesion asked about.
    pictures
        Where both are shown.
    find
        Called in the background.
    """

    found = Signal()
    """More is known about the partner."""

    def __init__(self, view: SeriesView, pictures: PartnerPictures, find: Find) -> None:
        super().__init__()
        self._view, self._pictures, self._find = view, pictures, find
        self._lane = Lane("partner")
        self._generation = 0
        self._asked: CandidateRecord | None = None
        self._partner: Partner | None = None
        self._then: LesionToCompare | None = None
        self._now: LesionToCompare | None = None
        view.drawn.connect(self._on_drawn)
        pictures.scrolled.connect(self._scroll)

    @property
    def is_reading(self) -> bool:
        """Whether something is being read."""
        return bool(self._lane.waiting)

    def partner_of(self, candidate_id: int) -> Partner | None:
        """Return what is said about the partner of a candidate; None while that is not known."""
        return self._partner if self._asked is not None and self._asked.id == candidate_id else None

    def show_for(self, asked: CandidateRecord) -> None:
        """Show the partner of a candidate that has come on screen, as soon as it is read."""
        if self._asked is asked:
            return
        self.forget()
        self._asked = asked
        if partner_reason(asked.candidate) is not None:
            self._pictures.say(READING)
            self._lane.submit(
                partial(self._find_wanted, self._generation, asked),
                partial(self._on_found, self._generation),
                partial(self._on_failed, self._generation),
            )

    def forget(self) -> None:
        """Show no partner; what is being read is no longer wanted."""
        self._generation += 1
        self._asked = self._partner = self._then = self._now = None
        self._pictures.hide()

    def close(self) -> None:
        """Read nothing any more."""
        self.forget()
        self._view.drawn.disconnect(self._on_drawn)
        self._lane.close(finish=False)

    def _find_wanted(self, generation: int, asked: CandidateRecord) -> FoundPartner | None:
        # Runs in the lane: nobody waits for partners of lesions that have gone by.
        return self._find(asked) if generation == self._generation else None

    def _on_found(self, generation: int, found: FoundPartner | None) -> None:
        if generation != self._generation:
            return
        if found is None:
            self._pictures.hide()
            return
        self._partner = found.partner
        if isinstance(found.lesion, LensError):
            self._on_failed(generation, found.lesion)
        else:
            self._then = found.lesion
            shown = self._view.slice_on_screen
            if shown is not None:
                self._on_drawn(shown[0])
        self.found.emit()

    def _on_failed(self, generation: int, error: Exception) -> None:
        if generation == self._generation:
            self._pictures.say(CANNOT_BE_READ, message_of(error))

    def _on_drawn(self, slice_index: int) -> None:
        loaded, asked, then = self._view.loaded, self._asked, self._then
        if loaded is None or asked is None or then is None or loaded.record.id != asked.candidate.series_id:
            return  # not read yet, or the reader looks at something else
        if self._now is None:
            finding = asked.candidate.finding
            self._now = LesionToCompare(scan_in_words(loaded.record), finding.box, finding.slices, loaded.volume)
            self._look_at(then, self._now)
        now = self._now
        partner_slice = linked_slice(
            slice_index,
            now.key_section.slice_index,
            now.volume.geometry,
            then.key_section.slice_index,
            then.volume.geometry,
        )
        _show(self._pictures.then, then, partner_slice, ANNOTATION_COLOUR)
        _show(self._pictures.now, now, slice_index, CANDIDATE_COLOUR)

    def _look_at(self, then: LesionToCompare, now: LesionToCompare) -> None:
        self._pictures.name_scans(then.where, now.where)
        side_mm = compared_side_mm(then, now)
        for picture, lesion in ((self._pictures.then, then), (self._pictures.now, now)):
            row_mm, column_mm = Plane.AXIAL.pixel_mm(lesion.volume.geometry)
            x1, y1, x2, y2 = lesion.key_section.box
            picture.look_at(((y1 + y2) / 2 * row_mm, (x1 + x2) / 2 * column_mm), side_mm)

    def _scroll(self, notches: int) -> None:
        shown = self._view.slice_on_screen
        if shown is not None and self._now is not None:
            self._view.go_to_slice(shown[0] + notches)


def _show(picture: SectionPicture, lesion: LesionToCompare, slice_index: int, colour: str) -> None:
    geometry = lesion.volume.geometry
    if not 0 <= slice_index < geometry.shape[0]:
        picture.show_words(ENDS_HERE)
        return
    row_mm, column_mm = pixel_mm = Plane.AXIAL.pixel_mm(geometry)
    hu = Plane.AXIAL.cut(lesion.volume.voxels, slice_index)
    picture.show_section(Section(hu, pixel_mm, lesion.window))
    picture.show_label(f"{slice_index + 1} / {geometry.shape[0]}")
    boxes = [one.box for one in lesion.slices if one.slice_index == slice_index]
    picture.draw(
        [
            Outline((y1 * row_mm, x1 * column_mm), (y2 * row_mm, x2 * column_mm), colour, LINE_PIXELS)
            for x1, y1, x2, y2 in boxes
        ],
        (None, None),
    )
