"""`axisor bench`: runs benchmarks, shows them as a table or as JSON, and holds them against committed ratios."""

import json
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from axisor.domain.errors import ConfigurationError
from axisor.features.lab.bench.measure import Bench, Result, Say

NEEDED: Final = ("numpy", "numba", "sortedcontainers")


def find_benches(names: Sequence[str]) -> list[Bench]:
    """Return the benchmarks of these names, all where none is named.

    Raises:
        ConfigurationError: there is no such benchmark, or a package that only benchmarks need is missing.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"benchmarks need {', '.join(missing)}: run ./axisor bench from a checkout, or install them beside Axisor"
        )
    from axisor.cli.react import REACT
    from axisor.features.lab.bench.catalog import BENCHES

    benches = {**BENCHES, REACT.name: REACT}
    unknown = [name for name in names if name not in benches]
    if unknown:
        raise ConfigurationError(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(benches)}")
    return [benches[name] for name in names] or list(benches.values())


def run_benches(
    benches: Sequence[Bench], *, is_short: bool, as_json: bool, baseline: Path | None, write: Path | None
) -> bool:
    """Run benchmarks and show what they found; return whether every ratio passes the gate, if there is one."""
    from axisor.features.lab.bench.catalog import ratios, too_slow

    form = "short" if is_short else "full"
    committed = {} if baseline is None else _read(baseline).get(form, {})
    results = []
    for bench in benches:
        with _progress(bench.name) as say:
            results.append(bench.run(is_short, say))
        if not as_json:
            _show(results[-1])
    if as_json:
        print(json.dumps({"machine": machine(), "form": form, "results": [one.as_json() for one in results]}, indent=2))
    if write is not None:
        everything = _read(write) if write.exists() else {}
        everything[form] = {**everything.get(form, {}), **{one.name: ratios(one) for one in results}}
        everything["machine"] = machine()
        write.write_text(json.dumps(everything, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    failures = [sentence for one in results for sentence in too_slow(one, committed)]
    for sentence in failures:
        print(sentence, file=sys.stderr)
    return not failures


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    named = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return f"{named.get('model name', 'unknown')}, model {named.get('model', '?')}"


def _read(path: Path) -> dict[str, Any]:
    try:
        committed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as committed ratios: {error}") from error
    return committed


@contextmanager
def _progress(name: str) -> Iterator[Say]:
    """Show on standard error what goes on; lines where there is no terminal."""
    console = Console(file=sys.stderr)
    if not console.is_terminal:
        print(f"{name} ...", file=sys.stderr, flush=True)
        yield lambda _: None
        return
    with console.status(name) as status:
        yield lambda text: status.update(f"{name}: {text}")


def _show(result: Result) -> None:
    table = Table(title=f"{result.name}: {result.work}", title_justify="left", title_style="bold")
    table.add_column("side")
    table.add_column(f"per {result.unit}", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("goal", justify="right")
    table.add_row("Axisor", duration(result.seconds), "", "")
    for peer in result.peers:
        goal = "" if peer.goal is None else f"{peer.goal:,.0f}x {'✓' if peer.ratio >= peer.goal else '✗'}"
        table.add_row(peer.name, duration(peer.seconds), f"{peer.ratio:,.1f}x", goal)
    console = Console()
    console.print(table)
    for limit in result.limits:
        mark = "✓" if limit.is_kept else "✗"
        console.print(f"  {mark} {limit.name}: {limit.measured:.3g} {limit.unit}, at most {limit.at_most:g} wanted")
    console.print(f"  ✓ the sides agree: {result.checked}\n")


def duration(seconds: float) -> str:
    """Return a time in the unit that reads best."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:,.3g} {unit}"
    return f"{seconds * 1e9:,.3g} ns"
