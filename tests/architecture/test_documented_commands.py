"""Every command in README and docs exists: its verb, its options, the recipe or target that it names.

Whether they do what the text says is tested where they are; what is quick and safe runs here as a process.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer import Context
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from lens_napari.cli.app import app as lens_app
from lens_training.cli.app import app as training_app
from lens_training.recipes.files import recipe_names

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]

FENCED = re.compile(r"^```(?:sh|bash|shell|console)\n(?P<lines>.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(?P<command>(?:lens|make|python -m) [^`\n]+)`")
STARTS = ("lens", "make", "python", "srun", "torchrun")
FORWARDED = ("recipe", "data")
"""Verbs of `lens` that hand over to `python -m lens_training`."""
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*(?:\.\.\.)?|\.\.\.|…|<\w+>")
QUICK = ("lens --help", "lens recipe list", "lens recipe show L3-1", "lens doctor")


@dataclass(frozen=True, slots=True)
class Documented:
    """One command as a page has it."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words without comment, without what starts it on many nodes, `python -m MODULE` as they are."""
        words = shlex.split(self.text, comments=True)
        if words[0] == "srun":
            words = words[1:]
        if words[0] == "torchrun":
            words = ["python", *words[words.index("-m") :]]
        return [word for word in words if word != "..."]

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def documented() -> list[Documented]:
    found: list[Documented] = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [match["lines"].replace("\\\n", " ").splitlines() for match in FENCED.finditer(text)]
        lines = [line.strip() for block in blocks for line in block]
        commands = [line for line in lines if line.split(" ")[0] in STARTS]
        commands += [match["command"] for match in INLINE.finditer(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))]
        found += [Documented(page.name, re.sub(r"\s+", " ", command)) for command in commands]
    return list(dict.fromkeys(found))


COMMANDS = documented()


def those_of(*beginning: str) -> list[Documented]:
    return [command for command in COMMANDS if command.words[: len(beginning)] == list(beginning)]


def ids(commands: list[Documented]) -> list[str]:
    return [str(command) for command in commands]


def problems_of(command: TyperGroup | TyperCommand, words: list[str]) -> Iterator[str]:
    """Yield what a command line of Typer does not know of some words."""
    while isinstance(command, TyperGroup):
        words = behind_options_of(command, words)
        if not words or PLACEHOLDER.fullmatch(words[0]):
            return
        inner = command.get_command(Context(command), words[0])
        if not isinstance(inner, TyperGroup | TyperCommand):
            yield f"no command {words[0]!r}"
            return
        command, words = inner, words[1:]
    options = options_of(command)
    given = 0
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            given += 1
            continue
        name, has_value, value = word.partition("=")
        if name not in options:
            yield from () if name == "--help" else (f"no option {name}",)
        elif not options[name].is_flag:
            yield from wrong_choice(command, options[name], value if has_value else next(rest, "VALUE"))
    yield from too_many(command, given)


def options_of(command: TyperGroup | TyperCommand) -> dict[str, TyperOption]:
    return {
        name: option
        for option in command.params
        if isinstance(option, TyperOption)
        for name in (*option.opts, *option.secondary_opts)
    }


def behind_options_of(group: TyperGroup, words: list[str]) -> list[str]:
    """Return the words behind the options of a group, such as `--project DIR`."""
    while words and words[0].startswith("-"):
        option = options_of(group).get(words[0])
        words = words[1:] if option is None or option.is_flag else words[2:]
    return words


def wrong_choice(command: TyperCommand, option: TyperOption, value: str) -> Iterator[str]:
    hint: Any = get_type_hints(command.callback)[option.name]
    for kind in (hint, *get_args(hint)):
        is_choice = isinstance(kind, type) and issubclass(kind, StrEnum)
        if is_choice and value not in list(kind) and not PLACEHOLDER.fullmatch(value):
            yield f"{option.opts[0]} takes {', '.join(kind)}, not {value}"


def too_many(command: TyperCommand, given: int) -> Iterator[str]:
    rooms = [parameter.nargs for parameter in command.params if isinstance(parameter, TyperArgument)]
    if given > sum(rooms) and -1 not in rooms:
        yield f"takes {sum(rooms)} arguments, not {given}"


def run(words: list[str], cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(
        [*(str(REPOSITORY / part) for part in ("engine", "training", ".")), os.environ.get("PYTHONPATH", "")]
    )
    return subprocess.run(
        words, cwd=cwd, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )


def as_process(text: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from lens_napari.cli import main; sys.exit(main())", *text.split()[1:]]


@cache
def help_of(module: str) -> str:
    told = run([sys.executable, "-m", module, "--help"])
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_the_pages_have_commands() -> None:
    assert len(those_of("lens")) > 20
    assert those_of("make")
    assert those_of("python", "-m", "lens_training")


@pytest.mark.parametrize("command", those_of("lens"), ids=ids(those_of("lens")))
def test_a_verb_of_lens_exists_with_its_options(command: Documented) -> None:
    words = behind_options_of(get_command(lens_app), command.words[1:])
    is_forwarded = bool(words) and words[0] in FORWARDED
    group = get_command(training_app if is_forwarded else lens_app)
    assert list(problems_of(group, words if is_forwarded else command.words[1:])) == []


@pytest.mark.parametrize(
    "command", those_of("python", "-m", "lens_training"), ids=ids(those_of("python", "-m", "lens_training"))
)
def test_a_command_of_the_training_exists_with_its_options(command: Documented) -> None:
    assert list(problems_of(get_command(training_app), command.words[3:])) == []


@pytest.mark.parametrize("verb", ["run", "show"])
def test_every_recipe_that_a_command_names_exists(verb: str) -> None:
    named = []
    for command in COMMANDS:
        words = command.words
        if verb in words[:-1] and words[words.index(verb) - 1] == "recipe":
            named.append(words[words.index(verb) + 1])
    concrete = [name for name in named if re.fullmatch(r"[\w-]*\d[\w-]*|lens-\w+", name)]
    assert concrete
    assert set(concrete) <= set(recipe_names())


MODULES = [command for command in those_of("python", "-m") if command.words[2] != "lens_training"]


@pytest.mark.parametrize("command", MODULES, ids=ids(MODULES))
def test_a_module_exists_and_knows_its_options(command: Documented) -> None:
    module = command.words[2]
    assert importlib.util.find_spec(module) is not None, f"there is no module {module}"
    options = [word.partition("=")[0] for word in command.words[3:] if word.startswith("--")]
    unknown = [option for option in options if not re.search(rf"{option}\b", help_of(module))]
    assert unknown == []


@pytest.mark.parametrize("command", those_of("make"), ids=ids(those_of("make")))
def test_a_target_of_make_exists(command: Documented) -> None:
    targets = re.findall(r"^([\w-]+):(?!=)", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    variables = set(re.findall(r"\$\((\w+)\)", (REPOSITORY / "Makefile").read_text(encoding="utf-8")))
    for word in command.words[1:]:
        name, is_variable, _ = word.partition("=")
        assert name in variables if is_variable else name in targets, f"the Makefile has no {name}"


def test_the_nightly_target_may_run_again_in_the_folders_of_the_night_before() -> None:
    lines = (REPOSITORY / "Makefile").read_text(encoding="utf-8").splitlines()
    (run,) = [line for line in lines if "lens recipe run" in line]
    assert "--anew" in run.split()


@pytest.mark.parametrize("text", QUICK)
def test_a_quick_command_runs(text: str, tmp_path: Path) -> None:
    result = run(as_process(text), cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.strip()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("detect --waits", "no option --waits"),
        ("detekt", "no command 'detekt'"),
        ("export --format pickle a.pkl", "--format takes manual-pickle, json, not pickle"),
        ("review now", "takes 0 arguments, not 1"),
    ],
)
def test_a_command_that_does_not_exist_is_found(words: str, problem: str) -> None:
    assert list(problems_of(get_command(lens_app), words.split())) == [problem]
