"""Whether a window can be opened here, found out in a process of its own: a broken display or driver ends Qt's."""

import os
import subprocess
import sys

from lens_engine.errors import ConfigError

PROBE_SECONDS = 120
DEVICE_PROBE = "lens_engine.detector.device_probe"
GRAPHICS_PROBE = "lens_napari.viewer.graphics_probe"
NO_DISPLAY = "no display: the viewer cannot be opened here, everything else can"


def has_display() -> bool:
    """Return whether the surroundings name a display, as they do on every system but Linux without being asked."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run_probe(module: str) -> subprocess.CompletedProcess[str]:
    """Run a module that prints JSON. Raises `subprocess.TimeoutExpired` where it hangs."""
    return subprocess.run(
        [sys.executable, "-m", module], capture_output=True, text=True, timeout=PROBE_SECONDS, check=False
    )


def last_line(text: str) -> str:
    """Return what a probe said last."""
    return (text.strip().splitlines() or ["no message"])[-1]


def require_display() -> None:
    """Refuse to open a window where Qt would end the process.

    Raises
    ------
    ConfigError
        If there is no display, or the one there is cannot be used.
    """
    if not has_display() and "QT_QPA_PLATFORM" not in os.environ:
        raise _refusal(f"There is {NO_DISPLAY}")
    try:
        answer = run_probe(GRAPHICS_PROBE)
    except subprocess.TimeoutExpired as error:
        raise _refusal(f"The display does not answer within {PROBE_SECONDS} seconds") from error
    if answer.returncode < 0:  # ended by a signal: so would this process
        raise _refusal(f"Qt cannot open a window here ({last_line(answer.stderr)})")


def _refusal(happened: str) -> ConfigError:
    return ConfigError(
        happened,
        "A desktop, or a connection that brings one along (ssh -X, remote desktop), is needed",
        "Sit down at such a screen; lens doctor says what this one is",
    )
