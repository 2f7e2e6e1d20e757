"""Every citation leads somewhere: to a section of our own documents, to a file of the repository, to a picture."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
CITABLE = {"algorithms": REPOSITORY / "docs" / "algorithms.md", "architecture": REPOSITORY / "docs" / "architecture.md"}
SUFFIXES = {".py", ".yaml", ".yml", ".md", ".toml"}

NUMBER = r"R?\d+(?:\.\d+)?[a-z]?"
SECTIONS = rf"{NUMBER}(?:(?:, (?:and )?| and | to |,\s+){NUMBER}\b)*"
CITATION = re.compile(rf"\b(?P<document>algorithms|architecture)\s+(?:#\s+)?(?P<sections>{SECTIONS})", re.IGNORECASE)
HEADING = re.compile(rf"^#+ (?P<number>{NUMBER})\.? ", re.MULTILINE)
STEP = re.compile(r"\balgorithms 2, steps? (?P<numbers>\d+(?:(?:, | and | to )\d+)*)", re.IGNORECASE)
OUTSIDE = re.compile(
    r"\b[Ss]pec(?:ification)?\s+(?:#\s+)?(?:sections?\s+)?R?\d|\b[Tt]he spec(?:ification)?\b|\bas spec\b"
    r"|\bDESIGN\b|(?<![/\w.])(?:PERFORMANCE|STYLE|VIEWER|ECOSYSTEM)\.md|\[OURS\]"
)
BARE_TABLE = re.compile(r"\(R\d+\b")
"""A table of results without its document; within that document it needs none."""
LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def texts() -> dict[str, str]:
    """Return what is searched: every file of the repository that people write, but for this one."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    paths = [REPOSITORY / name for name in listed]
    return {
        str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8")
        for path in paths
        if path.suffix in SUFFIXES and path.is_file() and path != Path(__file__).resolve()
    }


def sections_of(document: str) -> list[str]:
    return [match["number"] for match in HEADING.finditer(CITABLE[document].read_text(encoding="utf-8"))]


def line_of(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def anchors_of(path: Path) -> set[str]:
    """Return what a link to a heading may be called, by the rule of the places where the repository is read."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", CITABLE)
def test_no_section_number_stands_twice(document: str) -> None:
    numbers = sections_of(document)
    assert numbers
    assert [number for number in numbers if numbers.count(number) > 1] == []


def test_every_citation_leads_to_a_section() -> None:
    known = {document: set(sections_of(document)) for document in CITABLE}
    dangling = [
        f"{name}:{line_of(text, match.start())}: {match[0]}"
        for name, text in texts().items()
        for match in CITATION.finditer(text)
        for number in re.findall(NUMBER, match["sections"])
        if number not in known[match["document"].lower()]
    ]
    assert dangling == []


def test_citations_are_found_in_code_and_in_recipes() -> None:
    """Or the test above would hold for a repository that cites in another way."""
    citing = {Path(name).suffix for name, text in texts().items() if CITATION.search(text)}
    assert {".py", ".yaml", ".md"} <= citing


def test_every_cited_step_of_the_preprocessing_is_there() -> None:
    text = CITABLE["algorithms"].read_text(encoding="utf-8")
    section = text[text.index("\n## 2. ") : text.index("\n## 3. ")]
    steps = set(re.findall(r"^(\d+)\. ", section, re.MULTILINE))
    cited = {
        number
        for content in texts().values()
        for match in STEP.finditer(content)
        for number in re.findall(r"\d+", match["numbers"])
    }
    assert cited - steps == set()


def test_no_document_outside_the_repository_is_cited() -> None:
    outside = [
        f"{name}:{line_of(text, match.start())}: {text.splitlines()[line_of(text, match.start()) - 1].strip()}"
        for name, text in texts().items()
        for pattern in (OUTSIDE, *(() if name == "docs/algorithms.md" else (BARE_TABLE,)))
        for match in pattern.finditer(text)
    ]
    assert outside == []


def test_every_relative_link_and_picture_is_there() -> None:
    broken = []
    for name, text in texts().items():
        if not name.endswith(".md"):
            continue
        for match in LINK.finditer(text):
            target, _, anchor = match["target"].partition("#")
            if re.match(r"\w+:", target):
                continue
            path = (REPOSITORY / name).parent / target if target else REPOSITORY / name
            if not path.exists() or (anchor and anchor not in anchors_of(path)):
                broken.append(f"{name}:{line_of(text, match.start())}: {match['target']}")
    assert broken == []


@pytest.mark.parametrize(
    "text",
    [
        "(spec 4.5)",
        "Spec 2, step 8.",
        "(spec\n    8)",
        "spec sections 2 to 4",
        "DESIGN section 4",
        "see PERFORMANCE.md",
    ],
)
def test_a_citation_of_an_outside_document_is_recognised(text: str) -> None:
    assert OUTSIDE.search(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("(algorithms 4.1 to 4.3b).", ["4.1", "4.3b"]),
        ("Algorithms 2, steps 3, 5 and 6.", ["2"]),
        ("(algorithms 10, R7 and R13)", ["10", "R7", "R13"]),
        ("(algorithms\n# 8, note v)", ["8"]),
        ("architecture 4.6", ["4.6"]),
    ],
)
def test_a_citation_is_understood(text: str, numbers: list[str]) -> None:
    found = CITATION.search(text)
    assert found is not None
    assert re.findall(NUMBER, found["sections"]) == numbers
