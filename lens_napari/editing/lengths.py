"""The lengths on the slice on screen: they stay until it changes or the reader lets them go."""

from dataclasses import dataclass

from lens_napari.editing.ruler import Ruler


@dataclass(slots=True)
class Lengths:
    """What was measured on one slice.

    Attributes
    ----------
    is_measuring
        Whether the next drag measures.
    """

    is_measuring: bool = False
    _kept: tuple[Ruler, ...] = ()
    _new: Ruler | None = None

    @property
    def rulers(self) -> tuple[Ruler, ...]:
        """Every length on screen, the newest last."""
        return self._kept if self._new is None else (*self._kept, self._new)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured, nor is to be."""
        return not (self.is_measuring or self.rulers)

    def follow(self, ruler: Ruler) -> None:
        """Show the length of a drag that goes on."""
        if self.is_measuring:
            self._new = ruler

    def end(self) -> bool:
        """Keep the length of the drag that has ended; return whether there is one."""
        if self._new is None:
            return False
        self._kept, self._new, self.is_measuring = self.rulers, None, False
        return True

    def give_away(self) -> None:
        """Let the newest length go: it has become something else."""
        self._kept = self._kept[:-1]

    def forget(self) -> None:
        """Let every length go."""
        self._kept, self._new, self.is_measuring = (), None, False

    def stay_on(self, slice_index: int) -> None:
        """Let the lengths of other slices go."""
        if any(ruler.slice_index != slice_index for ruler in self.rulers):
            self.forget()
