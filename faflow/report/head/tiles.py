"""The verdicts: laws, exponent, alignment, limit, bounds; every number is the summary's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..._results import ORDERLY
from ...compare.subject import Subject
from ...measures.exponent import exponent_warnings
from ...measures.tables import number, place_words, size, tolerance_words
from ..content import BAD, GOOD, PLAIN
from .swept import swept_tiles
from .tile import Tile, bounds_tile, verdict_mark

LIMITS = {
    "minimum_norm": ("relative_distance", "from the minimum-norm map"),
    "factorisation": ("limit_distance", "from the low-rank limit"),
    "wide.limit": ("distance", "from the closed limit"),
    "exact_solution": ("relative_distance", "at most from the exact solution"),
}


def tiles_of(subject: Subject) -> list[Tile]:
    """What a result came to, the most telling first."""
    if subject.members is not None:
        return list(swept_tiles(subject, subject.members))
    return [tile for make in _TILES for tile in make(subject.summary)]


def _status(summary: Mapping[str, Any]) -> Iterator[Tile]:
    status = summary["status"]
    mark = PLAIN if status in ORDERLY else BAD
    yield Tile("status", "Flow", status, f"at t = {number(summary['t_final'])}", mark,
               {"t_final": summary["t_final"]})  # fmt: skip


def _laws(summary: Mapping[str, Any]) -> Iterator[Tile]:
    laws = summary.get("laws") or {}
    if not laws:
        return
    mine = {name: told for name, told in laws.items() if told["claimed"] or told["kept"]}
    broken = [name for name, told in mine.items() if not told["kept"]]
    others = len(laws) - len(mine)
    more = f"; {others} not claimed and not kept" if others and mine else ""
    if broken:
        note = f"claimed, but broken: {', '.join(broken)}{more}"
        yield Tile("laws", "Laws", f"{len(broken)} of {len(mine)} broken", note, BAD)
        return
    if not mine:
        yield Tile("laws", "Laws", "not kept", "none of them is claimed by the rule")
        return
    worst = _worst(mine)
    if worst is None:
        yield Tile("laws", "Laws", "kept", "projected onto: their drift is no check" + more, GOOD)
        return
    name, index, drift = worst
    words = f"{name}, {place_words(laws[name], index)}; {tolerance_words(summary['solver'])}"
    note = f"worst of {len(mine)}: {words}" if len(mine) > 1 else words
    path = f"laws.{name}.relative_drift.{index}"
    yield Tile("laws", "Laws", f"kept to {_brief(drift)}", note + more, GOOD, {path: drift})


def _worst(laws: Mapping[str, Any]) -> tuple[str, int, float | None] | None:
    """The law and the entry that drifted most."""
    drifts = [
        (name, i, value) for name, told in laws.items()
        for i, value in enumerate(told["relative_drift"] or ())
    ]  # fmt: skip
    return max(drifts, key=lambda drift: size(drift[2]), default=None)


def _exponent(summary: Mapping[str, Any]) -> Iterator[Tile]:
    told = summary.get("exponent")
    if not told:
        return
    predicted = told.get("predicted")
    values = {f"exponent.{key}": told[key] for key in ("rate", "predicted") if key in told}
    if told["status"] != "ok":
        note = f"predicted {number(predicted)}" if predicted is not None else ""
        yield Tile("exponent", "Exponent", "not fitted", _joined(told["status"], note), PLAIN)
        return
    if predicted is None:
        note = f"± {number(told['stderr'])}, none predicted"
        yield Tile("exponent", "Exponent", number(told["rate"]), note, PLAIN, values)
        return
    away = told.get("relative_error")
    apart = "" if away is None else f" ({_percent(away)} apart)"
    mark = PLAIN if away is None else verdict_mark(not exponent_warnings(told))
    note = f"predicted {number(predicted)}{apart}"
    yield Tile("exponent", "Exponent", number(told["rate"]), note, mark, values)


def _alignment(summary: Mapping[str, Any]) -> Iterator[Tile]:
    told = summary.get("alignment")
    if not told:
        return
    degrees = [value for value in told["degrees"] if value is not None]
    note = f"angles {_range(degrees, '°')} at the end" if degrees else ""
    value, mark = "not certified", PLAIN
    if told.get("held") is False:
        value, mark = "floor not held", BAD
    elif told["certified"]:
        value, mark = "certified", GOOD
    elif told.get("held"):
        note = _joined("above its floors, which allow 90°", note)
    yield Tile("alignment", "Alignment", value, note, mark)


def _limit(summary: Mapping[str, Any]) -> Iterator[Tile]:
    for name, (key, words) in LIMITS.items():
        told = summary.get(name.partition(".")[0]) or {}
        told = (told.get(name.partition(".")[2]) or {}) if "." in name else told
        value = told.get(key)
        if value is None:
            continue
        met = told.get("condition_met")
        condition = "" if met is None else f", its condition {'' if met else 'NOT '}met"
        path = f"{name}.{key}"
        yield Tile("limit", "Limit", number(value), f"{words}{condition}", PLAIN, {path: value})
        return


def _kinks(summary: Mapping[str, Any]) -> Iterator[Tile]:
    told = summary.get("kinks")
    if not told:
        return
    error = (told.get("error") or {}).get("weights")
    if told["method"] == "exact":
        crossed = told.get("crossed")
        note = "" if crossed is None else f"{crossed} crossings, {told.get('landed', 0)} slides"
        yield Tile("kinks", "Kinks", "exact", note, PLAIN)
    elif error is not None:
        note = f"of the weights by kinks ({told['method']})"
        yield Tile("kinks", "Kink error", number(error), note, PLAIN,
                   {"kinks.error.weights": error})  # fmt: skip


def _loss(summary: Mapping[str, Any]) -> Iterator[Tile]:
    first, end = (summary["loss"][key] for key in ("initial", "final"))
    yield Tile("loss", "Loss", number(end), f"from {number(first)}", PLAIN, {"loss.final": end})


def _expect(summary: Mapping[str, Any]) -> Iterator[Tile]:
    verdicts = summary.get("expect")
    if verdicts:
        yield bounds_tile(verdicts, "of [expect]")


def _range(values: Sequence[float], unit: str) -> str:
    low, high = number(round(min(values), 1)), number(round(max(values), 1))
    return f"{low}{unit}" if low == high else f"{low} to {high}{unit}"


def _brief(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


_TILES: Sequence[Callable[[Mapping[str, Any]], Iterator[Tile]]] = (
    _laws, _exponent, _alignment, _limit, _kinks, _loss, _status, _expect,
)  # fmt: skip
