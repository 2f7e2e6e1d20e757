"""When the grey-value window changes by itself.

A window is the reader's: one is chosen only on arrival in a new region, and a manual one sticks until reset.
"""

from lens_engine.window_presets import Preset, Window


class WindowChoice:
    """Decides when the window changes by itself."""

    def __init__(self) -> None:
        self._region: Preset | None = None
        self._is_manual = False

    @property
    def is_manual(self) -> bool:
        """Whether the reader chose the window; it then stays."""
        return self._is_manual

    def by_hand(self) -> None:
        """Note that the reader chose a window."""
        self._is_manual = True

    def reset(self) -> None:
        """Let the regions choose again."""
        self._is_manual = False
        self._region = None

    def on_series(self) -> None:
        """Note that another series came in a window of its own: the next lesion chooses again, whatever its region."""
        self._region = None

    def on_arrival(self, region: Preset) -> Window | None:
        """Return the window to set on arrival at a lesion, or None to leave it alone."""
        if self._is_manual or region is self._region:
            return None
        self._region = region
        return region.value
