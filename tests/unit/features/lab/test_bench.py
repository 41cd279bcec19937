"""The benchmarks compute the same as their peers, and their gate closes."""

import json
from pathlib import Path

import pytest

from axisor.cli import bench as command
from axisor.domain.errors import ConfigurationError
from axisor.features.lab.bench.catalog import BENCHES, too_slow
from axisor.features.lab.bench.measure import BenchDisagrees, Peer, Result, check, in_turn


def a_result(ratio: float) -> Result:
    slower = Peer(name="SortedList", seconds=1e-6 * ratio, ratio=ratio, goal=40)
    return Result(
        name="crash", work="made up", unit="fire", seconds=1e-6, peers=(slower,), limits=(), checked="nothing"
    )


def test_the_gate_closes_below_half_of_the_committed_ratio() -> None:
    baseline = {"crash": {"SortedList": 40.0}}
    assert too_slow(a_result(20.1), baseline) == []
    assert too_slow(a_result(19.9), baseline) == ["crash: 19.9x SortedList, at least 20.0x wanted"]
    assert too_slow(a_result(1), {}) == []


def test_the_committed_ratios_name_every_benchmark() -> None:
    path = Path(__file__).resolve().parents[4] / "benchmarks" / "baseline.json"
    committed = json.loads(path.read_text(encoding="utf-8"))
    assert set(committed["full"]) == {*BENCHES, "react"}
    assert set(committed["short"]) == {*BENCHES, "react"}  # what changes are held against


def test_an_unknown_benchmark_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="no benchmark tick-9m; there are tick-1m, rekey-100, crash"):
        command.find_benches(["tick-9m"])


def test_without_the_packages_that_only_benchmarks_need_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "NEEDED", ("numpy", "no_such_package"))
    with pytest.raises(ConfigurationError, match="benchmarks need no_such_package"):
        command.find_benches([])


def test_a_benchmark_whose_sides_disagree_has_no_result() -> None:
    with pytest.raises(BenchDisagrees, match="the sides disagree: which fires"):
        check(False, "which fires")


def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    order: list[str] = []
    times = {"ours": iter([100.0, 1.0, 3.0, 2.0]), "peer": iter([0.0, 5.0, 5.0, 8.0])}

    def side(name: str) -> float:
        order.append(name)
        return next(times[name])

    medians = in_turn({name: lambda name=name: side(name) for name in times}, rounds=3, say=lambda _: None)
    assert medians == {"ours": 2.0, "peer": 5.0}
    assert order == ["ours", "peer"] * 4


def test_a_run_writes_its_ratios_and_passes_by_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "baseline.json"
    benches = command.find_benches(["crash"])
    assert command.run_benches(benches, is_short=True, as_json=True, baseline=None, write=file)
    (shown,) = json.loads(capsys.readouterr().out)["results"]
    (peer,) = shown["peers"]
    assert peer["ratio"] > 1
    assert json.loads(file.read_text(encoding="utf-8"))["short"]["crash"] == {peer["name"]: round(peer["ratio"], 1)}
    file.write_text(json.dumps({"short": {"crash": {peer["name"]: 1_000_000}}}), encoding="utf-8")
    assert not command.run_benches(benches, is_short=True, as_json=True, baseline=file, write=None)
    assert "at least 500000.0x wanted" in capsys.readouterr().err
