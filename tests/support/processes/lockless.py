"""A file system without locks, as Lustre mounted without flock and NFS without lockd are; no test can mount one."""

import errno
import os
from pathlib import Path

import pytest

_REFUSING = """
import errno, fcntl, os

def refusing(lock):
    def refuse(handle, *arguments):
        if os.path.realpath("/proc/self/fd/%d" % handle).startswith({folder!r}):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        return lock(handle, *arguments)
    return refuse

fcntl.flock = refusing(fcntl.flock)
"""


def refuse_all_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system refuse every lock that this process asks for."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for name in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, name, refuse)


def refuse_locks_in(folder: Path, code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process that is started from now on refused locks on files in `folder`; `code` is made for that."""
    pytest.importorskip("fcntl")
    code.mkdir()
    (code / "sitecustomize.py").write_text(_REFUSING.format(folder=str(folder)))
    monkeypatch.setenv("PYTHONPATH", str(code), prepend=os.pathsep)
