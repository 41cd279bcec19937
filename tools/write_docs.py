"""Writes the generated reference pages."""

from pathlib import Path

from axisor.settings import reference

PAGES = Path(__file__).resolve().parents[1] / "docs" / "reference"

if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    (PAGES / "configuration.md").write_text(reference(), encoding="utf-8")
