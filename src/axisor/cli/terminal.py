"""What `axisor up` shows: progress where there is a terminal, plain lines where there is none, never 2 s of silence."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

_SILENCE_S: Final = 1.5


@dataclass
class StepNote:
    """What a step says when it is over, beside its title."""

    text: str = ""
    is_done: bool = True


class Terminal:
    """Lines, steps and the box; a terminal that went away is not an error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self.is_tty = self._stream.isatty()
        self._console = Console(file=self._stream, highlight=False) if self.is_tty else None

    def line(self, text: str = "") -> None:
        """Show one line."""
        try:
            if self._console is not None:
                self._console.print(Text(text), soft_wrap=True)
            else:
                print(text, file=self._stream, flush=True)
        except (OSError, ValueError):
            self._lose()

    def box(self, lines: list[str]) -> None:
        """Show what matters most, framed on a terminal."""
        if self._console is None:
            for text in ("", *lines, ""):
                self.line(text)
            return
        try:
            # Links must stay whole to be clicked: the frame grows with its text instead of breaking it.
            width = max(len(text) for text in lines) + 4
            if width <= self._console.width:
                self._console.print(Panel(Text("\n".join(lines)), width=width, border_style="green"))
            else:
                for text in lines:
                    self._console.print(Text(text), soft_wrap=True)
        except (OSError, ValueError):
            self._lose()

    @contextmanager
    def step(self, label: str) -> Iterator[StepNote]:
        """Show that `label` goes on, then that it is done and how long it took."""
        note = StepNote()
        began = time.monotonic()
        with self._progress(label, began):
            yield note
        mark, more = "✓" if note.is_done else "✗", f", {note.text}" if note.text else ""
        self.line(f"{label} {mark} {time.monotonic() - began:.1f} s{more}")

    @contextmanager
    def _progress(self, label: str, began: float) -> Iterator[None]:
        if self._console is not None:
            with self._console.status(label):
                yield
            return
        done = threading.Event()
        thread = threading.Thread(target=self._tick, args=(label, began, done), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _tick(self, label: str, began: float, done: threading.Event) -> None:
        while not done.wait(_SILENCE_S):
            self.line(f"{label} ... {time.monotonic() - began:.0f} s")

    def _lose(self) -> None:
        """Go on without the terminal: it was closed under us."""
        self._console = None
        self.is_tty = False
        self._stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - lives as long as the program
