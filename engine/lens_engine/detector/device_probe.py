"""Prints as JSON which torch and device a worker would use; its own process, so that the caller stays torch-free."""

import json
import sys

import torch


def main() -> int:
    """Print the torch build, the device and, on a GPU, its free memory."""
    report: dict[str, str | int | None] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        free_bytes, total_bytes = torch.cuda.mem_get_info()
        report["device"] = torch.cuda.get_device_name()
        report["free_gib"] = free_bytes // 2**30
        report["total_gib"] = total_bytes // 2**30
    else:
        report["device"] = f"CPU, {torch.get_num_threads()} threads"
    sys.stdout.write(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
