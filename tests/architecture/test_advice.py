"""What our messages advise can be typed: every `lens VERB --option` that stands in them exists.

The commands of README and docs are those of `test_documented_commands`. What a training advises reaches people who
never typed its command: a job did. So no remedy there names an option of it.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from lens_napari.cli.app import app
from lens_napari.cli.verbs.training import VERBS
from lens_training.cli.app import app as training_app

ROOT = Path(__file__).parents[2]
PACKAGES = ("engine/lens_engine", "training/lens_training", "lens_napari")
COMMAND = re.compile(r"(?<![\w./-])lens (?P<verb>[a-z][a-z-]*)(?P<rest>[^'\"`;()\n]*)")
SENTENCE_END = re.compile(r"[.:](?= |$)")

FORWARDED_VERBS = frozenset(VERBS)
NO_ADVICE = frozenset({"lens phantom"})  # what the identifiers of phantom files are drawn from

ROOMS_OF_TRAINING_JOBS = ("datasets", "detector", "running")
ONLY_AFTER_OPTIONS = frozenset({"world.py"})  # it refuses numbers of devices and nodes, which no job gives
OPTION = re.compile(r"(?<!\S)--[a-z]")
REMEDY = 2
"""Which argument of an error it is."""

Advice = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Verb, words behind it, options."""


def commands(text: str) -> Iterator[Advice]:
    for found in COMMAND.finditer(text):
        rest = SENTENCE_END.split(found["rest"])[0]
        words = rest.split()
        options = tuple(word.split("=")[0].rstrip(",") for word in words if word.startswith("--"))
        yield found["verb"], tuple(word for word in words if not word.startswith("-")), options


def texts(tree: ast.AST) -> Iterator[str]:
    """Yield the strings of a module; what a message fills in becomes X."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in node.values)
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield "" if node.value in NO_ADVICE else node.value


def remedies(path: Path) -> Iterator[str]:
    """Yield the third part of every error of a module but of those that only say that somebody stopped it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and len(node.args) > REMEDY:
            name = ast.unparse(node.func)
            if name.endswith("Error") and name != "TrainingStoppedError":
                yield " ".join(texts(node.args[REMEDY]))


def modules_of_training_jobs() -> list[Path]:
    folders = [ROOT / "training/lens_training" / room for room in ROOMS_OF_TRAINING_JOBS]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    return [path for path in paths if path.name not in ONLY_AFTER_OPTIONS]


@cache
def advice() -> dict[Advice, list[str]]:
    found: dict[Advice, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for text in texts(ast.parse(path.read_text(encoding="utf-8"))):
                for command in commands(text):
                    found.setdefault(command, []).append(str(path.relative_to(ROOT)))
    return found


def verbs_of(command: Any) -> Mapping[str, Any]:
    """Return the commands of a group, none of a single command."""
    if not isinstance(command, TyperGroup):
        return {}
    context = typer.Context(command)
    return {name: command.get_command(context, name) for name in command.list_commands(context)}


@cache
def programs() -> tuple[Any, Any]:
    return typer.main.get_command(app), typer.main.get_command(training_app)


def options_of(verb: str, words: tuple[str, ...]) -> set[str]:
    """Return the options of a verb; those of `recipe` and `data` are of the program that they hand over to."""
    lens, training = programs()
    command = verbs_of(training)[verb] if verb in FORWARDED_VERBS else verbs_of(lens)[verb]
    command = verbs_of(command).get(words[0], command) if words else command
    return {"--help"} | {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("command", sorted(advice()), ids=lambda command: " ".join(["lens", command[0], *command[2]]))
def test_a_command_that_we_advise_exists(command: Advice) -> None:
    verb, words, options = command
    where = ", ".join(advice()[command])
    assert verb in verbs_of(programs()[0]), f"{where} advises 'lens {verb}'"
    assert set(options) <= options_of(verb, words), f"{where} advises 'lens {verb} {' '.join(options)}'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Run 'lens detect --model v1' first", ("detect", ("v1",), ("--model",))),
        ("Add some with: lens add PATH. Then go on", ("add", ("PATH",), ())),
    ],
)
def test_commands_are_found_in_messages(text: str, expected: Advice) -> None:
    assert list(commands(text)) == [expected]


def test_the_mark_that_messages_ask_for_is_one_of_the_advised_commands() -> None:
    assert any(verb == "complete" for verb, _, _ in advice())


def test_no_remedy_of_a_training_job_names_an_option_that_its_reader_never_typed() -> None:
    found = [(path.name, remedy) for path in modules_of_training_jobs() for remedy in remedies(path)]
    assert ("last_checkpoint.py", "Begin the run anew instead of resuming it") in found
    assert [advised for advised in found if OPTION.search(advised[1])] == []
