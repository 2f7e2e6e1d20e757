"""What of a section a picture shows, and how large: millimetres of the section and pixels of the picture.

Everything is `(down, right)` from an upper left corner. Needs neither Qt nor napari.
"""

from dataclasses import dataclass

from lens_napari.sections.planes import PlaceMm


@dataclass(frozen=True, slots=True)
class Field:
    """A part of a section in a picture, at one scale in both directions.

    Attributes
    ----------
    size_pixels
        Height and width of the picture.
    middle_mm
        The place of the section in the middle of the picture.
    pixels_per_mm
        The scale.
    """

    size_pixels: tuple[int, int]
    middle_mm: PlaceMm
    pixels_per_mm: float

    @classmethod
    def around(cls, middle_mm: PlaceMm, seen_mm: float, size_pixels: tuple[int, int]) -> "Field":
        """Return the field in which at least `seen_mm` are seen in both directions."""
        return cls(size_pixels, middle_mm, max(min(size_pixels), 1) / seen_mm)

    @classmethod
    def whole(cls, section_mm: PlaceMm, size_pixels: tuple[int, int]) -> "Field":
        """Return the field that shows a whole section as large as possible."""
        scale = min(max(pixels, 1) / mm for pixels, mm in zip(size_pixels, section_mm, strict=True))
        return cls(size_pixels, (section_mm[0] / 2, section_mm[1] / 2), scale)

    @property
    def seen_mm(self) -> float:
        """Length that is seen along the shorter side of the picture."""
        return max(min(self.size_pixels), 1) / self.pixels_per_mm

    def to_pixels(self, place: PlaceMm) -> tuple[float, float]:
        """Return where a place of the section is in the picture."""
        down, right = (
            (mm - middle) * self.pixels_per_mm + pixels / 2
            for mm, middle, pixels in zip(place, self.middle_mm, self.size_pixels, strict=True)
        )
        return down, right

    def to_mm(self, down: float, right: float) -> PlaceMm:
        """Return which place of the section is at a point of the picture."""
        down_mm, right_mm = (
            (pixel - pixels / 2) / self.pixels_per_mm + middle
            for pixel, middle, pixels in zip((down, right), self.middle_mm, self.size_pixels, strict=True)
        )
        return down_mm, right_mm

    def with_place(self, place: PlaceMm) -> "Field":
        """Return the field with a place in it: in the middle, in each direction in which it was not seen."""
        seen = [0 <= at <= pixels for at, pixels in zip(self.to_pixels(place), self.size_pixels, strict=True)]
        if all(seen):
            return self
        down, right = (self.middle_mm[i] if seen[i] else place[i] for i in range(2))
        return Field(self.size_pixels, (down, right), self.pixels_per_mm)
