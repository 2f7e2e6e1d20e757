"""Reads files in a process of its own, as a scan and as annotations, and says what became of it and of its memory.

`python reading_untrusted.py PATH...` prints one line of JSON: of each path its messages and the seconds of computing,
and of the process the MiB that its memory has grown by at most since everything was imported.
"""

import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lens_engine.errors import LensError
from lens_engine.io.annotations.annotation_file import read_annotations
from lens_engine.io.annotations.imported import KnownSeries
from lens_engine.io.series import read_volume, scan


def messages_of(path: Path, known: Sequence[KnownSeries] = ()) -> list[str]:
    """Return what reading a path says: the problems of a scan of it, those of its series, and as annotations."""
    report = scan([path])
    messages = [str(problem) for problem in report.problems]
    for found in report.found:
        try:
            read_volume(found.source)
        except LensError as error:
            messages.append(str(error))
    try:
        read_annotations(path, known)
    except LensError as error:
        messages.append(str(error))
    return messages


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(paths: list[Path]) -> None:
    before = peak_mib()
    told = {}
    for path in paths:
        begin = time.process_time()
        told[path.name] = {"messages": messages_of(path), "seconds": time.process_time() - begin}
    sys.stdout.write(json.dumps({"files": told, "grown_mib": peak_mib() - before}) + "\n")


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
