"""The documents say what is true: links, paths, settings, options."""

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


def test_pages_have_words_in_both_languages() -> None:
    assert {path.stem for path in (ROOT / "web/src/locales").glob("*.json")} == {"en", "pt-BR"}
