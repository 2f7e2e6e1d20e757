"""Numbers about a worker for whoever watches over a department's computers, as Prometheus reads them.

Asked for with `--metrics PORT`, they are at `http://127.0.0.1:PORT/metrics`; `--metrics HOST:PORT` lets others ask,
too, and an IPv6 address stands in brackets, as in `[::1]:9470`. They hold counts, seconds and job kinds; nothing of a
patient.
"""

import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lens_engine.errors import JobError

LOCAL = "127.0.0.1"
PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HIGHEST_PORT = 65535
_ADDRESS = re.compile(r"(?:(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^:\[\]]*)):)?(?P<port>[0-9]{1,5})")

Labels = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Metrics:
    """What one worker has counted since it began; used by several threads."""

    _counts: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter, such as `jobs_total` of a kind and an outcome."""
        with self._lock:
            self._counts[name, tuple(sorted(labels.items()))] += amount  # type: ignore[assignment]  # seconds, too

    def text(self, gauges: Mapping[str, float]) -> str:
        """Return all counters, and values of now by name, one in each line."""
        with self._lock:
            counted = sorted(self._counts.items())
        lines: list[str] = []
        for name in sorted({name for (name, _), _ in counted}):
            lines.append(f"# TYPE lens_worker_{name} counter")
            lines += [
                f"lens_worker_{one}{_in_braces(labels)} {value:g}" for (one, labels), value in counted if one == name
            ]
        for name, value in gauges.items():
            lines += [f"# TYPE lens_{name} gauge", f"lens_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def serve_metrics(address: str, metrics: Metrics, gauges: Callable[[], Mapping[str, float]]) -> int:
    """Answer whoever asks for the metrics, in threads of their own until the process ends; return the port.

    Parameters
    ----------
    address
        `PORT`, for this computer alone, `HOST:PORT`, or `[IPV6]:PORT`; port 0 takes any that is free.
    gauges
        Asked at each answer.

    Raises
    ------
    JobError
        If the address is none, or in use.
    """
    host, port = _host_and_port(address)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name that http.server asks for
            if self.path != PATH:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            body = metrics.text(gauges()).encode()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: somebody asks every few seconds."""

    try:
        server = (_ServerOfIPv6 if ":" in host else ThreadingHTTPServer)((host, port), Handler)
    except OSError as error:
        raise JobError(
            f"Metrics cannot be offered at {address} ({error.strerror})",
            "An address that is free",
            "Choose another port",
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return int(server.server_address[1])


class _ServerOfIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


def _host_and_port(address: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > HIGHEST_PORT:
        raise JobError(
            f"{address!r} is no address for metrics", "PORT, HOST:PORT or [IPV6]:PORT", "For example: --metrics 9470"
        )
    return found["ipv6"] or found["host"] or LOCAL, int(found["port"])


def _in_braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}" if labels else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
