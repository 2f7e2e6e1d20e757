"""Prints as JSON which torch and device a worker would use; its own process, so that the caller stays torch-free."""

import json
import sys

import torch

from lens_engine.detector.network.cuda_kernels import kernels_in_words
from lens_engine.detector.precision_probe import WORTH, bf16_speedup


def main() -> int:
    """Print the torch build, the device with its free memory, what NMS runs on, and which precision is faster."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    report: dict[str, str | int | None] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.type == "cuda":
        free_bytes, total_bytes = torch.cuda.mem_get_info()
        report["device"] = torch.cuda.get_device_name()
        report["free_gib"] = free_bytes // 2**30
        report["total_gib"] = total_bytes // 2**30
    else:
        report["device"] = f"CPU, {torch.get_num_threads()} threads"
    report["kernels"] = kernels_in_words(device, torch.float32)
    speedup = bf16_speedup(device)
    report["bf16"] = f"bf16 is {speedup:.1f} times as fast as fp32 here"
    report["faster"] = "bf16" if speedup >= WORTH else "fp32"
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
