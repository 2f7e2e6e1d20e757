"""How the largest memory of a detection grows with the number of slices, beyond the volume itself.

Each figure is that of a fresh process (`python -m benchmarks.detector.memory VOLUME.npy hold|detect`), which prints
its peak in bytes: one that detects, minus one that only loads the model and holds the volume.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import ensure_environment
from benchmarks.measure import Growth, peak_of_this_process
from lens_engine.checkpoint_card import demo_checkpoint_folder
from lens_engine.detector.checkpoints.checkpoint import load_checkpoint
from lens_engine.detector.inference.predict import detect
from lens_engine.geometry import VolumeGeometry
from lens_engine.phantom.patient import UNIVERSAL, VAL_SEEDS, make_patient
from lens_engine.volume import Volume

SHORT, LONG = 150, 600
SPACING_MM = (4.0, 1.37, 1.37)


def growth() -> list[Growth]:
    """Return the growth from `SHORT` to `LONG` slices."""
    with tempfile.TemporaryDirectory() as folder:
        short, long = (_beyond_the_volume(Path(folder), slices) / 1e6 for slices in (SHORT, LONG))
    name = "peak memory beyond the volume, demo model, 256 px"
    return [Growth(name, f"{SHORT} slices", short, f"{LONG} slices", long, "MB", 1.2)]


def main() -> None:
    """Print the largest memory of this process and how many boxes it found."""
    ensure_environment()
    model, _ = load_checkpoint(demo_checkpoint_folder())
    voxels = np.load(sys.argv[1])
    volume = Volume(voxels, VolumeGeometry(voxels.shape, SPACING_MM))
    found = len(detect(model, volume).proposals.scores) if sys.argv[2] == "detect" else 0
    print(peak_of_this_process(), found)


def _beyond_the_volume(folder: Path, slices: int) -> int:
    path = folder / f"{slices}.npy"
    np.save(path, _repeated_phantom(slices))
    return _peak_bytes(path, "detect") - _peak_bytes(path, "hold")


def _repeated_phantom(slices: int) -> NDArray[np.int16]:
    """Return a phantom over and over, one slice for each of the network's grid: twice the scan, twice the findings."""
    voxels = make_patient(VAL_SEEDS[0], UNIVERSAL).series[0].volume.voxels
    return np.tile(voxels, (-(-slices // len(voxels)), 1, 1))[:slices]


def _peak_bytes(path: Path, task: str) -> int:
    command = [sys.executable, "-m", "benchmarks.detector.memory", str(path), task]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


if __name__ == "__main__":
    main()
