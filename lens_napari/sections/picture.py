"""One section through a scan as a picture: coronal, sagittal, or the axial slice of a partner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QSizePolicy, QWidget

from lens_engine.window_presets import Window
from lens_napari.sections.field import Field
from lens_napari.sections.planes import Letters, PlaceMm

NOTCH = 120
"""What Qt counts for one notch of a wheel."""
ZOOM_STEP = 1.1
LEAST_SEEN_MM, MOST_SEEN_MM = 20.0, 2000.0
TEXT_COLOUR, LETTER_COLOUR, LINE_COLOUR = "#D8DEE9", "#F0E442", "#F0E442"
TEXT_BACKGROUND, SHADOW = QColor(0, 0, 0, 140), QColor(0, 0, 0, 90)
LINE_STRENGTH = 0.75
GAP_PIXELS = 14
"""Of a line on each side of where two cross, so that what is there can be seen."""
LETTER_MARGIN = 4


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """What is in a picture.

    Attributes
    ----------
    hu
        int16, `[row, column]`.
    pixel_mm
        Height of a row and width of a column.
    window
        Grey values.
    """

    hu: NDArray[np.int16]
    pixel_mm: PlaceMm
    window: Window

    @property
    def size_mm(self) -> PlaceMm:
        """Height and width."""
        return self.hu.shape[0] * self.pixel_mm[0], self.hu.shape[1] * self.pixel_mm[1]


@dataclass(frozen=True, slots=True)
class Outline:
    """A rectangle over a section.

    Attributes
    ----------
    corner, opposite
        Upper left and lower right corner.
    pixels
        Width of its line.
    least_pixels
        Its sides are drawn no shorter.
    text
        Written at its upper right corner.
    """

    corner: PlaceMm
    opposite: PlaceMm
    colour: str
    pixels: float
    least_pixels: float = 0.0
    text: str = ""


class SectionPicture(QWidget):  # type: ignore[misc]  # qtpy carries no types
    """Paints a section at the right aspect, with letters, outlines and a cross-hair; tells where it is pointed at.

    Grey values are computed when section, window or field change, and outlines are drawn when they change as well; a
    line that moves costs a copy of both.

    Parameters
    ----------
    label
        Written in its upper left corner.
    letters
        Of the patient's sides, at its edges.
    """

    pointed = Signal(float, float)
    """A click, or a drag with the left button: the place (down, right) in mm."""
    scrolled = Signal(int)
    """Notches of the wheel, towards the reader where positive."""
    zoomed = Signal(float)
    """The reader sees so many millimetres now."""

    def __init__(self, label: str, letters: Letters) -> None:
        super().__init__()
        self._label, self._letters = label, letters
        self._section: Section | None = None
        self._middle: PlaceMm | None = None
        self._seen_mm = 0.0
        self._outlines: tuple[Outline, ...] = ()
        self._lines: tuple[float | None, float | None] = (None, None)
        self._words = ""
        self._painted: QPixmap | None = None
        self._outlined: QPixmap | None = None
        self._turned = 0
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    @property
    def section(self) -> Section | None:
        """What is shown; None where there is nothing."""
        return self._section

    @property
    def outlines(self) -> tuple[Outline, ...]:
        """The rectangles over it."""
        return self._outlines

    @property
    def lines(self) -> tuple[float | None, float | None]:
        """Where the cross-hair lies: down and right, in mm."""
        return self._lines

    @property
    def words(self) -> str:
        """What is said instead of a section."""
        return self._words

    @property
    def label(self) -> str:
        """What stands in the corner."""
        return self._label

    @property
    def field(self) -> Field:
        """What of the section is seen, and how large."""
        size = self.height(), self.width()
        if self._section is None:
            return Field.around((0.0, 0.0), LEAST_SEEN_MM, size)
        if self._middle is None:
            return Field.whole(self._section.size_mm, size)
        return Field.around(self._middle, self._seen_mm, size)

    def show_section(self, section: Section) -> None:
        """Show a section, or the same one in another window."""
        self._section, self._words = section, ""
        self._paint_anew()

    def show_words(self, words: str) -> None:
        """Say something where there is no section to show."""
        self._section, self._words = None, words
        self._outlines, self._lines = (), (None, None)
        self._paint_anew()

    def show_label(self, label: str) -> None:
        """Write something else into the corner."""
        if label != self._label:
            self._label = label
            self.update()

    def look_at(self, middle: PlaceMm, seen_mm: float) -> None:
        """Show so many millimetres around a place, however large the picture is or becomes."""
        self._middle, self._seen_mm = middle, min(max(seen_mm, LEAST_SEEN_MM), MOST_SEEN_MM)
        self._paint_anew()

    def see(self, seen_mm: float) -> None:
        """Show so many millimetres around the place that is in the middle now."""
        self.look_at(self.field.middle_mm, seen_mm)

    def look_at_all(self) -> None:
        """Show the whole section."""
        self._middle = None
        self._paint_anew()

    def bring_into_view(self, place: PlaceMm) -> None:
        """Move the field where a place is not in it; the scale stays."""
        before = self.field
        if self._section is not None and (after := before.with_place(place)) is not before:
            self.look_at(after.middle_mm, before.seen_mm)

    def draw(self, outlines: Sequence[Outline], lines: tuple[float | None, float | None]) -> None:
        """Draw rectangles and the lines of the cross-hair (down, right), None for one that is not there."""
        if tuple(outlines) != self._outlines:
            self._outlines, self._outlined = tuple(outlines), None
            self.update()
        if lines != self._lines:
            self._lines = lines
            self.update()

    def mousePressEvent(self, event: Any) -> None:  # Qt's name
        """Tell the place."""
        self._point(event)

    def mouseMoveEvent(self, event: Any) -> None:  # Qt's name
        """Tell the places on the way."""
        self._point(event)

    def wheelEvent(self, event: Any) -> None:  # Qt's name
        """Zoom with Ctrl, else tell the notches."""
        event.accept()
        self._turned -= event.angleDelta().y()
        notches = int(self._turned / NOTCH)
        self._turned -= notches * NOTCH
        if notches and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.see(self.field.seen_mm * ZOOM_STEP**notches)
            self.zoomed.emit(self.field.seen_mm)
        elif notches:
            self.scrolled.emit(notches)

    def resizeEvent(self, _event: object) -> None:  # Qt's name
        """Paint for the new size."""
        self._painted = self._outlined = None

    def paintEvent(self, _event: object) -> None:  # Qt's name
        """Put lines, outlines and letters over the grey values."""
        painter = QPainter(self)
        if self._section is None:
            painter.fillRect(self.rect(), Qt.GlobalColor.black)
            painter.setPen(QColor(TEXT_COLOUR))
            within = self.rect().adjusted(8, 8, -8, -8)
            painter.drawText(within, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._words)
        else:
            if self._painted is None:
                self._painted = self._grey_values(self._section)
            if self._outlined is None:
                self._outlined = self._drawn_outlines()
            painter.drawPixmap(0, 0, self._painted)
            self._paint_lines(painter)
            painter.drawPixmap(0, 0, self._outlined)
            self._paint_letters(painter)
        painter.end()

    def _point(self, event: Any) -> None:
        if self._section is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self.pointed.emit(*self.field.to_mm(event.position().y(), event.position().x()))

    def _paint_anew(self) -> None:
        self._painted = self._outlined = None
        self.update()

    def _grey_values(self, section: Section) -> QPixmap:
        picture = self._filled(Qt.GlobalColor.black)
        (first_row, last_row), (first_column, last_column) = seen_pixels(section, self.field)
        if first_row < last_row and first_column < last_column:
            row_mm, column_mm = section.pixel_mm
            image = _image(section.window.greys(section.hu[first_row:last_row, first_column:last_column]))
            where = self._rectangle(
                (first_row * row_mm, first_column * column_mm), (last_row * row_mm, last_column * column_mm)
            )
            painter = QPainter(picture)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(where, image)
            painter.end()
        return picture

    def _drawn_outlines(self) -> QPixmap:
        picture = self._filled(Qt.GlobalColor.transparent)
        if self._outlines:
            painter = QPainter(picture)
            painter.setFont(self.font())
            self._paint_outlines(painter)
            painter.end()
        return picture

    def _filled(self, colour: Qt.GlobalColor) -> QPixmap:
        """Return a picture of the size of this one in one colour."""
        ratio = self.devicePixelRatioF()
        picture = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
        picture.setDevicePixelRatio(ratio)
        picture.fill(colour)
        return picture

    def _rectangle(self, corner: PlaceMm, opposite: PlaceMm) -> QRectF:
        field = self.field
        top, left = field.to_pixels(corner)
        bottom, right = field.to_pixels(opposite)
        return QRectF(left, top, right - left, bottom - top)

    def _paint_lines(self, painter: QPainter) -> None:
        down_mm, right_mm = self._lines
        down, right = self.field.to_pixels((down_mm or 0.0, right_mm or 0.0))
        colour = QColor(LINE_COLOUR)
        colour.setAlphaF(LINE_STRENGTH)
        for pen in (QPen(SHADOW, 3.0), QPen(colour, 1.0)):  # a yellow line alone is lost on bone
            painter.setPen(pen)
            if down_mm is not None:
                for begin, end in _beside(right if right_mm is not None else None, self.width()):
                    painter.drawLine(QPointF(begin, down), QPointF(end, down))
            if right_mm is not None:
                for begin, end in _beside(down if down_mm is not None else None, self.height()):
                    painter.drawLine(QPointF(right, begin), QPointF(right, end))

    def _paint_outlines(self, painter: QPainter) -> None:
        for outline in self._outlines:
            rectangle = _grown(self._rectangle(outline.corner, outline.opposite), outline.least_pixels)
            painter.setPen(QPen(QColor(outline.colour), outline.pixels))
            painter.drawRect(rectangle)
            if outline.text:
                self._write_beside(painter, rectangle, outline.text)

    def _write_beside(self, painter: QPainter, rectangle: QRectF, text: str) -> None:
        """Write at the upper right corner of a rectangle, inside the picture."""
        metrics = painter.fontMetrics()
        width = metrics.horizontalAdvance(text)
        right = min(rectangle.right() + 2, self.width() - width - 2)
        down = max(rectangle.top(), metrics.ascent())
        painter.fillRect(QRectF(right - 1, down - metrics.ascent(), width + 2, metrics.height()), TEXT_BACKGROUND)
        painter.drawText(QPointF(right, down), text)

    def _paint_letters(self, painter: QPainter) -> None:
        middle, top, bottom = Qt.AlignmentFlag.AlignVCenter, Qt.AlignmentFlag.AlignTop, Qt.AlignmentFlag.AlignBottom
        centre, left, right = Qt.AlignmentFlag.AlignHCenter, Qt.AlignmentFlag.AlignLeft, Qt.AlignmentFlag.AlignRight
        for text, colour, place in (
            (self._letters.top, LETTER_COLOUR, top | centre),
            (self._letters.bottom, LETTER_COLOUR, bottom | centre),
            (self._letters.left, LETTER_COLOUR, middle | left),
            (self._letters.right, LETTER_COLOUR, middle | right),
            (self._label, TEXT_COLOUR, top | left),
        ):
            within = self.rect().adjusted(LETTER_MARGIN, LETTER_MARGIN, -LETTER_MARGIN, -LETTER_MARGIN)
            behind = painter.boundingRect(within, place, text)
            painter.fillRect(behind.adjusted(-2, 0, 2, 0), TEXT_BACKGROUND)
            painter.setPen(QColor(colour))
            painter.drawText(within, place, text)


def seen_pixels(section: Section, field: Field) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the rows and the columns, each from first to behind the last, that a field shows a part of."""
    first, last = field.to_mm(0.0, 0.0), field.to_mm(*field.size_pixels)
    rows, columns = (
        (max(0, math.floor(low / pixel) - 1), min(count, math.ceil(high / pixel) + 1))
        for low, high, pixel, count in zip(first, last, section.pixel_mm, section.hu.shape, strict=True)
    )
    return rows, columns


def _grown(rectangle: QRectF, least: float) -> QRectF:
    """Return a rectangle whose sides are no shorter than that, around the same middle."""
    down, right = max(0.0, least - rectangle.height()) / 2, max(0.0, least - rectangle.width()) / 2
    return rectangle.adjusted(-right, -down, right, down)


def _image(greys: NDArray[np.uint8]) -> QImage:
    height, width = greys.shape
    # Qt does not keep the bytes alive; a copy does.
    return QImage(greys.tobytes(), width, height, width, QImage.Format.Format_Grayscale8).copy()


def _beside(crossing: float | None, length: int) -> tuple[tuple[float, float], ...]:
    """Return the parts of a line that are drawn: all of it, or what is left and right of where another crosses it."""
    if crossing is None:
        return ((0.0, length),)
    return (0.0, crossing - GAP_PIXELS), (crossing + GAP_PIXELS, length)
