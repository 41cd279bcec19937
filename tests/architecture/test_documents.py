"""The documents say what is true: links, paths, settings, options; and the code's own words stay in the code."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pytest
import typer.main

from axisor.cli.main import app
from axisor.settings import reference

ROOT: Final = Path(__file__).resolve().parents[2]
SKIPPED: Final = frozenset({"node_modules", ".venv", ".venv-node", ".uv", ".git", "dist", "test-results"})
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE_PATH: Final = re.compile(r"`((?:src|tests|docs|tools|web|migrations|\.ci)/[\w./-]*\w)`")
VARIABLE: Final = re.compile(r"\bAXISOR_[A-Z0-9]+(?:_[A-Z0-9]+)*\b")
OPTION: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
CODE_BLOCK: Final = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING: Final = re.compile(r"^(#+) (.+)$", re.MULTILINE)
OWN_WORDS: Final = re.compile(
    r"\b(rungs?|arming|re-?arm(ed|s)?|hysteresis|histerese|intents?|fences?|fencing|outbox)\b", re.IGNORECASE
)

TOOLS: Final = (  # read variables that are no settings
    "axisor",
    "tools/check.py",
    "web/vite.config.ts",
    "tests/virtual/scenario.py",
    "tests/virtual/test_nights.py",
)
READMES: Final = ("README.md", "README.pt-BR.md")


def documents() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that a reader's renderer gives to the headings of a document."""
    titles = (match[2].strip().lower() for match in HEADING.finditer(CODE_BLOCK.sub("", text_of(path))))
    return {re.sub(r"[^\w -]", "", re.sub(r"[`*]", "", title)).replace(" ", "-") for title in titles}


def broken_links(path: Path) -> Iterator[str]:
    for target in LINK.findall(CODE_BLOCK.sub("", text_of(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        place = (path.parent / name).resolve() if name else path
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in anchors_of(place)):
            yield target


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from commands(below)


COMMANDS: Final = tuple(commands(typer.main.get_command(app)))


def help_texts() -> Iterator[str]:
    for command in COMMANDS:
        yield from (command.help or "", command.epilog or "")
        yield from (str(getattr(parameter, "help", "") or "") for parameter in command.params)


def spoken(path: Path) -> Iterator[str]:
    """Return the strings of a module that are not documentation."""
    tree = ast.parse(text_of(path))
    told = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def leaves(tree: object) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from leaves(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from leaves(value)
    else:
        yield str(tree)


def own_words_in(texts: Iterator[str]) -> list[str]:
    return [text for text in texts if OWN_WORDS.search(text)]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_to_something(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_that_is_named_exists(path: Path) -> None:
    named = CODE_PATH.findall(text_of(path))
    assert [name for name in named if not ((ROOT / name).exists() or (path.parent / name).exists())] == []


def test_every_setting_that_is_named_exists() -> None:
    rows = [row for row in reference().splitlines() if row.startswith("| `AXISOR_")]
    known = {VARIABLE.findall(row)[0] for row in rows}
    known |= {VARIABLE.findall(row)[0] + "_FILE" for row in rows if "`_FILE` allowed" in row}
    known |= {name for tool in TOOLS for name in VARIABLE.findall(text_of(ROOT / tool))}
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in documents()
        for name in VARIABLE.findall(text_of(path))
        if name not in known
    }
    assert unknown == set()


@pytest.mark.parametrize("name", [*READMES, "docs/paper-exchange.md"])
def test_every_option_that_is_named_exists(name: str) -> None:
    known = {
        option
        for command in COMMANDS
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    ours = "\n".join(line for line in text_of(ROOT / name).splitlines() if not line.startswith("curl "))
    assert set(OPTION.findall(ours)) <= known | {"--help"}


def test_the_translation_of_the_readme_has_the_same_parts() -> None:
    one, other = (text_of(ROOT / name) for name in READMES)

    def shape(text: str) -> dict[str, object]:
        blocks = "".join(CODE_BLOCK.findall(text))
        return {
            "levels": [match[1] for match in HEADING.finditer(CODE_BLOCK.sub("", text))],
            "commands": [line.split("#")[0].strip() for line in blocks.splitlines()],
            "rows": sum(line.startswith("|") for line in text.splitlines()),
            "settings": VARIABLE.findall(text),
            "files": [link for link in LINK.findall(text) if link not in READMES and not link.startswith("#")],
        }

    assert shape(one) == shape(other)


@pytest.mark.parametrize("path", sorted((ROOT / "web/src/locales").glob("*.json")), ids=lambda path: path.name)
def test_pages_speak_the_persons_words(path: Path) -> None:
    assert own_words_in(leaves(json.loads(text_of(path)))) == []


def test_pages_have_words_in_both_languages() -> None:
    assert {path.stem for path in (ROOT / "web/src/locales").glob("*.json")} == {"en", "pt-BR"}


def test_lines_for_the_terminal_speak_the_persons_words() -> None:
    assert own_words_in(spoken(ROOT / "src/axisor/api/words.py")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "src/axisor/cli").glob("*.py")), ids=lambda path: path.name)
def test_commands_speak_the_persons_words(path: Path) -> None:
    said = (text for text in spoken(path) if "select " not in text)  # SQL is not shown to anybody
    assert own_words_in(said) == []


def test_help_speaks_the_persons_words() -> None:
    assert own_words_in(help_texts()) == []
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("text", ["the next rung", "An outbox row", "is re-armed", "a Fence", "intents wait"])
def test_the_codes_words_are_recognised(text: str) -> None:
    assert OWN_WORDS.search(text)
