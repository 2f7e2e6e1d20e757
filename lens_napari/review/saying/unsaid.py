"""Words that were typed and axes that were drawn, until they go with a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lens_engine.findings import RecistAxes


@dataclass(frozen=True, slots=True)
class Remark:
    """What a reader adds to what is said of a lesion.

    Attributes
    ----------
    comment
        His own words, empty to take them back; None where he leaves them as they are.
    axes
        The diameters that he has drawn; None where he leaves them as they are.
    takes_axes_off
        Whether he takes those back that were said.
    """

    comment: str | None = None
    axes: RecistAxes | None = None
    takes_axes_off: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether it adds nothing."""
        return self.comment is None and self.axes is None and not self.takes_axes_off

    def axes_on(self, said: RecistAxes | None) -> RecistAxes | None:
        """Return the axes of a lesion that has these with what was said of it."""
        return self.axes or (None if self.takes_axes_off else said)


NOTHING = Remark()


class Unsaid:
    """The remarks that wait for a verdict, by lesion number.

    Parameters
    ----------
    comments
        Words that were left here before, by candidate.
    """

    def __init__(self, comments: Mapping[int, str] | None = None) -> None:
        self._remarks = {number: Remark(comment=text) for number, text in (comments or {}).items()}

    def of(self, lesion: int) -> Remark:
        """Return what waits for a lesion."""
        return self._remarks.get(lesion, NOTHING)

    def write(self, lesion: int, comment: str | None) -> None:
        """Keep the words about a lesion; None keeps none."""
        self.put(lesion, replace(self.of(lesion), comment=comment))

    def draw(self, lesion: int, axes: RecistAxes | None) -> None:
        """Keep the axes of a lesion; None keeps none."""
        self.put(lesion, replace(self.of(lesion), axes=axes, takes_axes_off=False))

    def take_axes_off(self, lesion: int) -> None:
        """Keep that the axes that were said of a lesion are to go."""
        self.put(lesion, replace(self.of(lesion), axes=None, takes_axes_off=True))

    def put(self, lesion: int, remark: Remark) -> None:
        """Keep a remark in the place of the one that waits for a lesion."""
        self._remarks.pop(lesion, None)
        if not remark.is_empty:
            self._remarks[lesion] = remark

    def take(self, lesion: int) -> Remark:
        """Return what waits for a lesion, and keep it no longer."""
        return self._remarks.pop(lesion, NOTHING)

    def comments(self) -> dict[int, str]:
        """Return the words that wait, by candidate: what would be lost with the window."""
        return {
            number: remark.comment for number, remark in sorted(self._remarks.items()) if number > 0 and remark.comment
        }
