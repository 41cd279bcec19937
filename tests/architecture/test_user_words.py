"""No page, message, refusal or help text uses the words of the code: a trader reads room, step, top up, ready again."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import typer.main

from axisor.cli.main import app

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCE: Final = ROOT / "src" / "axisor"
FORBIDDEN: Final = {
    "en": re.compile(
        r"\b(rungs?|arming|re-?arm(ed|s|ing)?|hysteresis|intents?|fences?|fenc(ed|ing)|outbox)\b", re.IGNORECASE
    ),
    "pt-BR": re.compile(
        r"\b(rungs?|arming|re-?arm(ed|s|ing)?|(re)?armamentos?|histerese|hysteresis|intents?|intenç(ão|ões)|fences?|cercas?(?! de\b)|outbox|"
        r"caixas? de saída)\b",
        re.IGNORECASE,
    ),
}
"""Degrau is the step of the Portuguese pages, and "cerca de" says about."""
_SENTENCE: Final = re.compile(r"\S\s\S")
_SQL: Final = re.compile(r"^\s*(select|insert|update|delete|with|create|alter|grant|revoke|\(?select)\b", re.IGNORECASE)


def found(text: str, language: str = "en") -> list[str]:
    """Return the words of a text that no user should read."""
    return [match.group(0) for match in FORBIDDEN[language].finditer(text)]


def values_of(tree: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield where each text of a JSON document stands, and the text; names of its members are no texts."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, list):
        for number, part in enumerate(tree):
            yield from values_of(part, f"{path}.{number}")
    elif isinstance(tree, dict):
        for name, part in tree.items():
            yield from values_of(part, f"{path}.{name}")


def texts_of(node: ast.AST) -> Iterator[str]:
    """Yield the constants of an expression, the fixed parts of f-strings among them."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def refusals() -> Iterator[tuple[str, str]]:
    """Yield every text that an error is raised with: a person may read it as the detail of a refusal."""
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            is_raised = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
            if not is_raised or "AssertionError" in ast.unparse(node):
                continue
            assert isinstance(node, ast.Raise)
            assert isinstance(node.exc, ast.Call)
            for argument in node.exc.args:
                for text in texts_of(argument):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", text


def printed() -> Iterator[tuple[str, str]]:
    """Yield the sentences of the command line and of the activities in words, but for docstrings and SQL."""
    for file in (*sorted((SOURCE / "cli").glob("*.py")), SOURCE / "api" / "words.py"):
        tree = ast.parse(file.read_text())
        described = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in described:
                continue
            if _SENTENCE.search(node.value) and not _SQL.match(node.value):
                yield f"{file.relative_to(ROOT)}:{node.lineno}", node.value


def helps(command: click.Command, name: str = "axisor") -> Iterator[tuple[str, str]]:
    """Yield what `--help` says of a command, its options and everything below it."""
    yield name, f"{command.help or ''} {command.epilog or ''}"
    for parameter in command.params:
        yield f"{name} {parameter.name}", str(getattr(parameter, "help", "") or "")
    for part, below in getattr(command, "commands", {}).items():
        yield from helps(below, f"{name} {part}")


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_the_pages_use_the_users_words(language: str) -> None:
    document = json.loads((ROOT / "web" / "src" / "locales" / f"{language}.json").read_text())
    texts = list(values_of(document))
    assert len(texts) > 300
    assert [(path, words) for path, text in texts if (words := found(text, language))] == []


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_what_is_printed_uses_the_users_words(language: str) -> None:
    texts = list(printed())
    assert len(texts) > 100
    assert [(place, words) for place, text in texts if (words := found(text, language))] == []


def test_refusals_use_the_users_words() -> None:
    texts = list(refusals())
    assert len(texts) > 200
    assert [(place, text) for place, text in texts if found(text)] == []


def test_every_help_uses_the_users_words() -> None:
    texts = list(helps(typer.main.get_command(app)))
    assert len(texts) > 30
    assert [(name, words) for name, text in texts if (words := found(text))] == []


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("the rung is armed by its arming", "en", ["rung", "arming"]),
        ("Outbox, intent and fence", "en", ["Outbox", "intent", "fence"]),
        ("no hysteresis; fenced off", "en", ["hysteresis", "fenced"]),
        ("intentionally the step is ready again after a warming-up", "en", []),
        ("a histerese do rung, a intenção, a cerca e a caixa de saída", "pt-BR",
         ["histerese", "rung", "intenção", "cerca", "caixa de saída"]),
        ("o degrau volta com cerca de 50 % de folga", "pt-BR", []),
    ],
)  # fmt: skip
def test_a_word_of_the_code_is_noticed(text: str, language: str, words: list[str]) -> None:
    assert found(text, language) == words


def test_a_text_with_a_word_of_the_code_is_noticed_wherever_it_stands() -> None:
    tree = {"a": [{"b": "x"}, "the outbox"]}
    assert [path for path, text in values_of(tree) if found(text)] == [".a.1"]
    raised = ast.parse("raise Refused(f'the {name} fence')")
    assert [text for text in texts_of(raised) if found(text)] == [" fence"]
    command = click.Command("arm", help="Show each intent.")
    assert [name for name, text in helps(command) if found(text)] == ["axisor"]
