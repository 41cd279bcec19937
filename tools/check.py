"""`./axisor test` and `./axisor check`: every check in order, all of them even after a failure, and a summary.

./axisor test                 everything
./axisor test ARGUMENTS       pytest alone, with these arguments
./axisor test --long ...      the same, with many more and longer random walks over the paper exchange
./axisor check                what takes less than a minute: format, lint, types, imports, unit and property tests
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = [sys.executable, "-P", "-m"]
BIN: Final = Path(sys.executable).parent
DOMAIN_TESTS: Final = ["tests/unit/domain", "tests/property/domain"]
# Most tests wait for processes, sockets and clocks: three at a time keep two cores busy. A file stays on one worker.
IN_PARALLEL: Final = ["-n", "3", "--dist", "loadfile"]
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_VARIABLE: Final = "AXISOR_TEST_CHROMIUM"
LONG_OPTION: Final = "--long"
LONG_VARIABLE: Final = "AXISOR_TEST_LONG"
WEB_SCRIPTS: Final = ("typecheck", "lint", "test")
AT_A_TIME: Final = 2

said_by = threading.local()
"""`file`: where this thread's commands write, where several run at once."""


@dataclass(frozen=True)
class Check:
    title: str
    run: Callable[[], bool]


@dataclass(frozen=True)
class Outcome:
    title: str
    is_good: bool
    seconds: float


def main(arguments: Sequence[str]) -> int:
    command, rest = arguments[0], [argument for argument in arguments[1:] if argument != LONG_OPTION]
    if LONG_OPTION in arguments:
        os.environ[LONG_VARIABLE] = "1"
    static = [
        Check("format", lambda: run([str(BIN / "ruff"), "format", "--check", "."])),
        Check("lint", lambda: run([str(BIN / "ruff"), "check", "."])),
        Check("types", lambda: run([str(BIN / "mypy")])),
        Check("imports", lambda: run([str(BIN / "lint-imports")])),
    ]
    if command == "check":
        return finish([*map(perform, [*static, Check("unit and property tests", quick_tests)])])
    if rest:
        return finish([perform(Check("pytest " + " ".join(rest), lambda: with_browser(rest)))])
    first = [*static, Check("domain tests, every branch covered", domain_tests)]
    web = []
    if has_web():
        first.append(Check("web: packages", web_packages))
        web = [Check(f"web: {name}", lambda name=name: run_web(name)) for name in WEB_SCRIPTS]
        web.append(Check("web: build", lambda: run(["./axisor", "build"])))
    alone = [
        Check("speed against peers, half of the committed ratios", bench_gate),
        Check(
            "all other tests", lambda: with_browser([*IN_PARALLEL, *(f"--ignore={folder}" for folder in DOMAIN_TESTS)])
        ),
    ]
    return finish([*perform_together(first), *perform_together(web), *map(perform, alone)])


def perform(check: Check) -> Outcome:
    print(f"\n=== {check.title}", flush=True)
    return outcome_of(check, complaints=sys.stderr)


def outcome_of(check: Check, *, complaints: TextIO) -> Outcome:
    began = time.monotonic()
    try:
        is_good = check.run()
    except OSError as error:
        print(f"{check.title}: {error}", file=complaints)
        is_good = False
    return Outcome(check.title, is_good, time.monotonic() - began)


def perform_together(checks: Sequence[Check]) -> list[Outcome]:
    """Perform checks of which each keeps one core busy, two at a time; what one says is shown when it ends."""
    turn = threading.Lock()

    def perform_quietly(check: Check) -> Outcome:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            said_by.file = said
            outcome = outcome_of(check, complaints=said)
            with turn:
                said.seek(0)
                print(f"\n=== {check.title}\n{said.read()}", end="", flush=True)
            return outcome

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(perform_quietly, checks))


def finish(outcomes: Sequence[Outcome]) -> int:
    print("\n=== summary")
    for outcome in outcomes:
        print(f"{'ok  ' if outcome.is_good else 'FAIL'}  {outcome.seconds:6.1f} s  {outcome.title}")
    failed = [outcome.title for outcome in outcomes if not outcome.is_good]
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "all good")
    return 1 if failed else 0


def run(command: Sequence[str], *, cwd: Path = ROOT) -> bool:
    file = getattr(said_by, "file", None)
    errors = None if file is None else subprocess.STDOUT
    return subprocess.run(command, cwd=cwd, check=False, stdout=file, stderr=errors).returncode == 0


def quick_tests() -> bool:
    return run([*PYTHON, "pytest", "-q", *IN_PARALLEL, "tests/unit", "tests/property"])


def domain_tests() -> bool:
    coverage = ["--cov=axisor.domain", "--cov-branch", "--cov-report=term-missing:skip-covered", "--cov-fail-under=100"]
    return run([*PYTHON, "pytest", "-q", *DOMAIN_TESTS, *coverage])


def bench_gate() -> bool:
    """Measure the short form of each benchmark: ratios only, times depend on the machine."""
    return run([*PYTHON, "axisor", "bench", "--short", "--baseline", "benchmarks/baseline.json"])


def with_browser(arguments: Sequence[str]) -> bool:
    browser = find_browser()
    if browser is None:
        print(
            "No Chromium for the browser tests, and none could be installed: install one (Debian: apt-get install "
            f"chromium) or name one with {BROWSER_VARIABLE}=/path/to/chromium. The other tests run.",
            file=sys.stderr,
        )
    else:
        os.environ[BROWSER_VARIABLE] = browser
    return run([*PYTHON, "pytest", *arguments]) and browser is not None


def find_browser() -> str | None:
    if given := os.environ.get(BROWSER_VARIABLE):
        return given if shutil.which(given) else None
    return present_browser() or (present_browser() if install_debian_browser() else None) or playwright_browser()


def present_browser() -> str | None:
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def install_debian_browser() -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return False
    print("installing Debian's Chromium for the browser tests", flush=True)
    quiet = ["apt-get", "-qq", "-o", "Dpkg::Use-Pty=0"]
    return run([*quiet, "update"]) and run([*quiet, "install", "-y", "--no-install-recommends", "chromium"])


def playwright_browser() -> str | None:
    if not run([*PYTHON, "playwright", "install", "chromium"]):
        return None
    words = "from playwright.sync_api import sync_playwright as p\nwith p() as q: print(q.chromium.executable_path)"
    answer = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=False)
    path = answer.stdout.strip()
    return path if answer.returncode == 0 and Path(path).exists() else None


def has_web() -> bool:
    return (ROOT / "web" / "package.json").exists()


def web_packages() -> bool:
    """Install what the lock file says, unless exactly that is there."""
    lock, installed = ROOT / "web" / "package-lock.json", ROOT / "web" / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime > lock.stat().st_mtime:
        return True
    return run(["npm", "ci", "--no-audit", "--no-fund"], cwd=ROOT / "web")


def run_web(script: str) -> bool:
    scripts = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["scripts"]
    if script not in scripts:
        print(f"web/package.json has no script {script}", file=sys.stderr)
        return False
    return run(["npm", "run", "--silent", script], cwd=ROOT / "web")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
