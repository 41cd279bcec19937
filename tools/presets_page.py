"""The counted part of docs/guides/presets.md: every figure of the study beside what is counted here."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

BEGIN: Final = "<!-- counted: begin (python -m tools.make_nights) -->"
END: Final = "<!-- counted: end -->"
TOLERANCE: Final = 2.0
"""Percentage points. The study rounds to whole ones and leaves some of its choices open."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the study in percent (or a count), and the same counted here."""

    what: str
    counted: float
    study: float
    unit: str = " %"
    reason: str | None = None
    """Why it differs by more than the tolerance."""

    @property
    def difference(self) -> float:
        return self.counted - self.study

    @property
    def is_near(self) -> bool:
        """Return whether the figures agree within the tolerance (losses above the margin: within 2 % of them)."""
        return abs(self.difference) <= max(TOLERANCE, abs(self.study) * TOLERANCE / 100)


@dataclass(frozen=True, slots=True)
class Row:
    """A rule's committed figures by name."""

    values: dict[str, int]
    nights: int
    died: int

    def of_all(self, name: str) -> float:
        """Return a count in percent of all nights."""
        return 100 * self.values[name] / self.nights

    def of_dead(self, name: str) -> float:
        """Return a count in percent of the nights that would have died."""
        return 100 * self.values[name] / self.died

    def percent(self, name: str) -> float:
        """Return basis points of the entry margin in percent."""
        return self.values[name] / 100


class Evidence:
    """The committed figures, read by name."""

    def __init__(self, figures: dict[str, Any]) -> None:
        self._figures = figures

    def row(self, leverage: int, rule: str, *, part: str = "leverages") -> Row:
        counts = self._figures[part][str(leverage)]
        values = dict(zip(self._figures["columns"], counts["rules"][rule], strict=True))
        return Row(values, counts["nights"], counts["died_unguarded"])

    def died_percent(self, leverage: int, *, part: str = "leverages") -> float:
        counts = self._figures[part][str(leverage)]
        return 100 * float(counts["died_unguarded"]) / counts["nights"]

    def mean_percent(self, leverage: int) -> float:
        return float(self._figures["leverages"][str(leverage)]["mean_bp"]) / 100

    def leverages(self) -> list[int]:
        return [int(key) for key in self._figures["leverages"]]


# Leverage: part, dies, Hold saved and late, better and worse, acts, top-ups in 30, added, when acting, ended and at,
# Hold longer saved and late, better and worse, Cut closes and would have lived. Source: the study of 2018.
_PRESETS: Final[dict[int, tuple[str, tuple[float, ...]]]] = {
    5: ("weeks", (11, 74, 74, 44, 55, 25, 1.4, 19, 75, 2.9, -188, 96, 96, 52, 47, 25, 14)),
    10: ("leverages", (1.7, 96, 92, 66, 32, 5, 1.8, 4, 71, 0.1, -190, 100, 95, 67, 31, 5, 4)),
    25: ("leverages", (14.7, 75, 70, 48, 50, 34, 15.5, 24, 71, 3.7, -194, 93, 85, 51, 48, 27, 12)),
    50: ("leverages", (34.5, 53, 45, 40, 59, 58, 31, 46, 79, 16, -200, 79, 64, 49, 51, 50, 15)),
    100: ("leverages", (58.5, 37, 28, 33, 66, 76, 41, 67, 88, 37, -212, 60, 38, 46, 54, 70, 12)),
}
_COUNT_100: Final = "why the study counts fewer is not known; the other figures of these nights agree"


def figures_of_presets(evidence: Evidence) -> Iterator[tuple[int, Figure]]:
    """Yield the first table of the study: leverage and figure."""
    for leverage, (part, study) in _PRESETS.items():
        mark, days = 35 if leverage < 25 else 50, 7 if part == "weeks" else 1

        def row(rule: str, leverage: int = leverage, part: str = part) -> Row:
            return evidence.row(leverage, rule, part=part)

        hold, longer, cut = row(f"{mark}/100"), row(f"{mark}/200"), row("cut")
        hold_late, longer_late = row(f"{mark}/100/late"), row(f"{mark}/200/late")
        counted = (
            ("dies unguarded", evidence.died_percent(leverage, part=part), ""),
            ("Hold: saved", hold.of_dead("saved"), ""),
            ("Hold, late: saved", hold_late.of_dead("saved"), ""),
            ("Hold: better off than liquidation", hold.of_dead("better"), ""),
            ("Hold: worse off", hold.of_dead("worse"), ""),
            ("Hold: acts on", hold.of_all("acted"), ""),
            ("Hold: top-ups in 30 nights", 30 * hold.values["top_ups"] / hold.nights / days, "count"),
            ("Hold: sats added, of margin", hold.percent("added_bp"), ""),
            ("Hold: sats added when it acts", _when_acting(hold), ""),
            ("Hold: limit gone and stopped", hold.of_all("ended"), ""),
            ("Hold: result of those", hold.percent("stopped_bp"), ""),
            ("Hold longer: saved", longer.of_dead("saved"), ""),
            ("Hold longer, late: saved", longer_late.of_dead("saved"), ""),
            ("Hold longer: better off", longer.of_dead("better"), ""),
            ("Hold longer: worse off", longer.of_dead("worse"), ""),
            ("Cut: closed", cut.of_all("ended"), ""),
            ("Cut: closed, would have lived", cut.of_all("ended_would_have_lived"), ""),
        )
        for (what, here, kind), there in zip(counted, study, strict=True):
            reason = None
            if kind and leverage == 100:
                reason = _COUNT_100
            yield leverage, Figure(what, here, there, "" if kind else " %", reason)


def figures_of_others(evidence: Evidence) -> Iterator[tuple[int, Figure]]:
    """Yield the second table: what else one could do."""

    def row(rule: str, leverage: int = 25, part: str = "leverages") -> Row:
        return evidence.row(leverage, rule, part=part)

    yield 25, Figure("stop at 35 %: most lost", row("stop/35").percent("worst_bp"), -72)
    yield 25, Figure("stop at 50 %: most lost", row("stop/50").percent("worst_bp"), -57)
    yield 25, Figure("stop at 35 %: mean result", row("stop/35").percent("mean_bp"), -5.0)
    yield 25, Figure("stop at 50 %: mean result", row("stop/50").percent("mean_bp"), -4.8)
    yield 25, Figure("stop at 35 %: closes nights that would have lived", row("stop/35").of_all(_LIVED), 12)
    yield 25, Figure("stop at 50 %: closes nights that would have lived", row("stop/50").of_all(_LIVED), 20)
    for limit, saved, worst in ((100, 79, -205), (200, 94, -305)):
        put_in = row(f"at_entry/{limit}")
        yield 25, Figure(f"{limit // 100}x the margin at entry: saved", put_in.of_dead("saved"), saved)
        yield 25, Figure(f"{limit // 100}x the margin at entry: most lost", put_in.percent("worst_bp"), worst)
    yield 25, Figure("replenish like an exchange: saved", row("replenish").of_dead("saved"), 100)
    yield 25, Figure("replenish: most lost", row("replenish").percent("worst_bp"), -515)
    yield 25, Figure("replenish, a week: saved", row("replenish", part="weeks").of_dead("saved"), 96)
    yield 25, Figure("replenish, a week: most lost", row("replenish", part="weeks").percent("worst_bp"), -1106)
    earlier = row("earlier")
    yield 25, Figure("earlier Axisor's default: saved", earlier.of_dead("saved"), 99)
    yield 25, Figure("earlier: acts on", earlier.of_all("acted"), 78)
    yield 25, Figure("earlier: added on average", earlier.percent("added_bp"), 443, reason=_EARLIER)
    yield 25, Figure("earlier: one night in twenty adds", earlier.percent("added_p95_bp"), 2119, reason=_EARLIER)
    for leverage, acts in ((25, 62), (50, 98)):
        figure = row("distance_3", leverage).of_all("acted")
        yield leverage, Figure("trigger at 3 % distance: acts on", figure, acts, reason=_DISTANCE)
    for leverage, saved in ((10, 58), (25, 34), (50, 18)):
        mark = 35 if leverage < 25 else 50
        week = row(f"{mark}/100", leverage, "weeks")
        yield leverage, Figure("Hold, a week: saved", week.of_dead("saved"), saved)
    for leverage, dies in ((10, 32), (25, 62), (50, 78)):
        yield leverage, Figure("dies unguarded in a week", evidence.died_percent(leverage, part="weeks"), dies)
    for leverage, change, low, high in ((10, 0.2, 0.1, 0.3), (25, -0.4, -1.0, 0.3), (50, -1.8, -3.1, -0.4)):
        mark = 35 if leverage < 25 else 50
        hold = row(f"{mark}/100", leverage)
        for what, name, there in (("", "change_bp", change), (", low end", "low_bp", low), (", high", "high_bp", high)):
            yield leverage, Figure(f"Hold: change of the mean result{what}", hold.percent(name), there)


_LIVED: Final = "ended_would_have_lived"
_EARLIER: Final = "the study does not say what a fifth of; here it is the entry margin, up to leverage 1"
_DISTANCE: Final = "the study does not say from which price it measures; here as the product does"


def _when_acting(row: Row) -> float:
    return row.percent("added_bp") * row.nights / row.values["acted"]


def page(text: str, figures: dict[str, Any]) -> str:
    """Return the guide with its counted part written anew."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n\n" + "\n".join(_counted(Evidence(figures))) + "\n\n" + END + after


def _counted(evidence: Evidence) -> Iterator[str]:
    yield f"Agreement: within {TOLERANCE:.0f} percentage points, or 2 % of a loss above the margin."
    yield ""
    yield "| leverage | figure | counted here | study | difference |"
    yield "|---|---|---|---|---|"
    notes: list[str] = []
    for leverage, one in (*figures_of_presets(evidence), *figures_of_others(evidence)):
        far = ""
        if not one.is_near:
            if one.reason not in notes:
                notes.append(one.reason or "not explained")
            far = f" ({notes.index(one.reason or 'not explained') + 1})"
        span = " (7 days)" if leverage == 5 else ""
        yield (
            f"| {leverage}x{span} | {one.what} | {_number(one.counted)}{one.unit} | {_number(one.study)}{one.unit} "
            f"| {_signed(one.difference, 1)}{far} |"
        )
    yield ""
    for number, note in enumerate(notes, 1):
        yield f"({number}) {note[0].upper()}{note[1:]}."
    yield ""
    yield "### Does a preset raise the average result?"
    yield ""
    yield (
        "Average result of all nights in percent of the entry margin, its change against the same nights left alone "
        "(95 % range, weeks drawn again), and its change against the same limit put in at entry, without any program."
    )
    yield ""
    yield "| leverage | preset | left alone | with it | change | 95 % range | against the limit at entry |"
    yield "|---|---|---|---|---|---|---|"
    raises = False
    for leverage in evidence.leverages():
        mark = 35 if leverage < 25 else 50
        for preset, rule in (("Hold", f"{mark}/100"), ("Hold longer", f"{mark}/200"), ("Cut", "cut")):
            row = evidence.row(leverage, rule)
            raises |= row.values["sure_low_bp"] > 0 and row.values["over_entry_sure_low_bp"] > 0
            offered = "" if leverage <= 50 or preset == "Cut" else " (not offered)"
            over = "–" if preset == "Cut" else _signed(row.percent("over_entry_bp"))
            yield (
                f"| {leverage}x | {preset}{offered} | {_signed(evidence.mean_percent(leverage))} "
                f"| {_signed(row.percent('mean_bp'))} | {_signed(row.percent('change_bp'))} "
                f"| {_signed(row.percent('low_bp'))} to {_signed(row.percent('high_bp'))} | {over} |"
            )
    yield ""
    yield (
        "One of them is better than both leaving the trade alone and putting the limit in at entry."
        if raises
        else "No preset is better than both leaving the trade alone and putting the same sats in at entry, once it is "
        "counted that thirty such ranges were looked at."
    )


def _number(value: float) -> str:
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}").replace("-", "−")


def _signed(value: float, places: int = 2) -> str:
    rounded = round(value, places) + 0.0  # no minus before a zero
    return f"{rounded:+.{places}f}".replace("-", "−")
