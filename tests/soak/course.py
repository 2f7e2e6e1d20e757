"""A storm from its beginning to the reckoning: prepare, kill, come to rest, start again once, and look."""

from pathlib import Path

from support.processes.postgresql import Server

from soak.ground import prepare
from soak.reckoning import Reckoning, reckon
from soak.storm import Say, Storm, Toll


def weather(folder: Path, server: Server | None, kills: int, seed: int, say: Say) -> tuple[Toll, Reckoning]:
    """Let a storm pass over a new project in `folder`, and return what it did and what is left."""
    project = prepare(folder, None if server is None else server.url)
    storm = Storm(project, folder, server, seed)
    try:
        storm.rage(kills, say)
        storm.calm()
    finally:
        storm.end()
    return storm.toll, reckon(project, storm.notes, storm.toll)
