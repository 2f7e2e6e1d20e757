"""Milliseconds per slice on a GPU, next to the published figure and to what the device could do at best.

`python -m benchmarks.gpu` prints a table and writes `benchmarks/gpu_results.json`; `--device cpu --slices 4` tries the
script where there is no GPU, `--size narrow --side 64` faster. The floor is the time that the multiply-accumulates
which were really made would take at the rate of the device's own large matrix products; the share says how much of the
time that explains.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.conditions import conditions, ensure_environment
from benchmarks.detector.subjects import EXPERTS, loud_detector, noise
from lens_engine.detector.complexity import count_macs
from lens_engine.detector.config import narrow_lens, published_lens
from lens_engine.detector.inference.predict import detect_with
from lens_engine.detector.inference.whole_volume import InferenceDetector, InferencePrecision, InferenceSettings
from lens_engine.detector.network.cuda_kernels import kernels_in_words
from lens_engine.geometry import VolumeGeometry
from lens_engine.tasks.device_errors import within_memory
from lens_engine.volume import Volume

PUBLISHED_MS = 54.0
"""Of LENS with four experts on a Quadro RTX 6000 [LENS VI-D]; other hardware, weights and numbers of proposals."""
RESULTS = Path(__file__).with_name("gpu_results.json")

_MATRIX = 8192
_MATRIX_ON_CPU = 1024


@dataclass(frozen=True, slots=True)
class Speed:
    """One assembly in one precision.

    Attributes
    ----------
    network_ms
        Per slice, from grid slices on the device to boxes and embeddings on the host.
    series_ms
        Per slice, from int16 voxels on the host to findings.
    giga_macs
        Multiply-accumulates (in 10^9) that were made for a slice.
    floor_ms
        They at the device's matrix rate.
    peak_gib
        Largest memory on the GPU.
    """

    experts: int
    precision: str
    chunk: int
    is_compiled: bool
    network_ms: float
    series_ms: float
    giga_macs: float
    floor_ms: float
    peak_gib: float

    @property
    def share_of_floor(self) -> float:
        """Floor over time of the network, at most 1."""
        return self.floor_ms / self.network_ms


def main() -> None:
    """Measure one and four experts in both precisions."""
    ensure_environment()
    options = options_of(None)
    results = measure(options, device_of(options.device))
    options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Print the table and return it."""
    rates = {
        precision: matrix_rate(device, precision) for precision in (InferencePrecision.BF16, InferencePrecision.FP32)
    }
    before = conditions() | {"device": device_name(device), "kernels": kernels_in_words(device, torch.float32)}
    print("  ".join(f"{name}: {value}" for name, value in before.items()))
    print("matrix products: " + ", ".join(f"{name} {rate / 1e12:.2f} TFLOP/s" for name, rate in rates.items()))
    print(
        f"{'experts':>7} {'precision':>9} {'chunk':>5} {'compiled':>8} {'network':>10} {'series':>10} {'GMAC':>7}"
        f" {'floor':>9} {'share':>6} {'memory':>9}"
    )
    rows = []
    for row in _speeds(device, options, rates):
        print(
            f"{row.experts:7} {row.precision:>9} {row.chunk:5} {row.is_compiled!s:>8} {row.network_ms:7.2f} ms"
            f" {row.series_ms:7.2f} ms {row.giga_macs:7.1f} {row.floor_ms:6.2f} ms {row.share_of_floor:6.1%}"
            f" {row.peak_gib:5.1f} GiB",
            flush=True,
        )
        rows.append(asdict(row) | {"share_of_floor": row.share_of_floor})
    print(f"published, 4 experts, Quadro RTX 6000: {PUBLISHED_MS:g} ms")
    return {"conditions": before, "flops_per_second": rates, "published_ms": PUBLISHED_MS, "speeds": rows}


def device_of(name: str | None) -> torch.device:
    """Return the device of that name, the GPU by default; ends the program with words where there is none."""
    if name is None and not torch.cuda.is_available():
        raise SystemExit("There is no GPU here: nothing was measured. Add --device cpu to try the script all the same.")
    return torch.device(name or "cuda")


def matrix_rate(device: torch.device, precision: InferencePrecision) -> float:
    """Return the floating-point operations per second of large matrix products, the best of five."""
    size = _MATRIX_ON_CPU if device.type == "cpu" else _MATRIX
    one, other = (torch.randn(size, size, device=device, dtype=precision.dtype) for _ in range(2))
    seconds = [seconds_of(device, lambda: one @ other) for _ in range(8)][3:]
    return 2 * size**3 / min(seconds)


def _speeds(
    device: torch.device, options: argparse.Namespace, rates: dict[InferencePrecision, float]
) -> Iterator[Speed]:
    slices = [image.to(device) for image in noise(options.slices, options.side)]
    assembly = published_lens if options.size == "published" else narrow_lens
    for experts in (1, len(EXPERTS)):
        model = loud_detector(assembly(EXPERTS[:experts])).to(device)
        for precision in (InferencePrecision.BF16, InferencePrecision.FP32):
            plain = InferenceDetector(model, InferenceSettings(precision, chunk=options.chunk))
            count = partial(count_macs, partial(_run, plain, slices))
            macs = within_memory(count, plain.shrink_chunk) / len(slices)
            yield _speed(plain, slices, options.repeats, macs, rates[precision])
            if options.compile:
                compiled = InferenceDetector(model, InferenceSettings(precision, compiles=True, chunk=options.chunk))
                row = _speed(compiled, slices, options.repeats, macs, rates[precision])
                yield replace(row, is_compiled=True)


def _speed(detector: InferenceDetector, slices: list[Tensor], repeats: int, macs: float, rate: float) -> Speed:
    volume = _volume(len(slices), len(slices[0]), detector)
    within_memory(partial(_run, detector, slices), detector.shrink_chunk)  # compiles as well
    forget_peak(detector.device)
    network_ms, series_ms = (
        statistics.median(seconds_of(detector.device, run) for _ in range(repeats)) / len(slices) * 1e3
        for run in (lambda: _run(detector, slices), lambda: detect_with(detector, volume))
    )
    return Speed(
        experts=len(detector.config.experts),
        precision=detector.precision.value,
        chunk=detector.chunk,
        is_compiled=False,
        network_ms=network_ms,
        series_ms=series_ms,
        giga_macs=macs / 1e9,
        floor_ms=2 * macs / rate * 1e3,
        peak_gib=peak_gib(detector.device),
    )


def _run(detector: InferenceDetector, slices: list[Tensor]) -> None:
    height, width = slices[0].shape
    for _ in detector.detect(iter(slices), len(slices), (height, width), detector.config.post):
        pass


def _volume(slices: int, side: int, detector: InferenceDetector) -> Volume:
    """Return noise on the network's own grid, all of it body."""
    voxels = np.random.default_rng(0).integers(-500, 1500, (slices, side, side), dtype=np.int16)
    config = detector.config
    return Volume(voxels, VolumeGeometry(voxels.shape, (config.grid_mm, config.pixel_mm, config.pixel_mm)))


def seconds_of(device: torch.device, run: Callable[[], object]) -> float:
    """Return the seconds that a call takes, the device's work included."""
    _wait(device)
    started = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def forget_peak(device: torch.device) -> None:
    """Begin to count the largest memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float:
    """Return the largest memory on the device since it was last forgotten; 0 on a CPU."""
    return torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0


def device_name(device: torch.device) -> str:
    """Return what the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", help="where to compute (default: the GPU)")
    parser.add_argument("--size", choices=["published", "narrow"], default="published")
    parser.add_argument("--side", type=int, default=512, help="pixels of a slice along each side")
    parser.add_argument("--slices", type=int, default=150, help="grid slices: 150 are a scan of 30 cm")
    parser.add_argument("--chunk", type=int, help="slices computed at a time (default: that of the device)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="measure the compiled network as well")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file for the figures, as JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
