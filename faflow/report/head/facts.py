"""What was run, in a few rows: network, rule, data, loss, time, seed, solver."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup, escape

from ...compare.subject import Subject
from ...config.kinds.catalogue import listed
from ...measures.tables import number
from .equation import equation_html

MOST = 4  # results that are told one by one, and values that are listed
_SAID = {  # keys of a section that are said elsewhere, or say nothing
    "network": ("kind", "widths", "activation", "bias", "bias_scale"),
    "task": ("kind", "loss", "reduction", "samples", "standardise", "whiten"),
}


class Fact(NamedTuple):
    """A row: what it is about, and by result what it says (one entry where all say the same)."""

    what: str
    told: list[tuple[str, Markup]]


def facts_of(subjects: Sequence[Subject]) -> list[Fact]:
    """The rows for all results: what they share is said once."""
    tables = [dict(_facts(subject)) for subject in subjects]
    found = []
    for what in dict.fromkeys(key for table in tables for key in table):
        told = [table.get(what, Markup("–")) for table in tables]
        if len(set(told)) == 1:
            found.append(Fact(what, [("", told[0])]))
        elif len(subjects) > MOST:
            kinds = list(dict.fromkeys(told))
            left = [("", escape(f"and {len(kinds) - MOST} others"))] if len(kinds) > MOST else []
            found.append(Fact(what, [("", text) for text in kinds[:MOST]] + left))
        else:
            names = [subject.name for subject in subjects]
            alike = [text.startswith(escape(name)) for name, text in zip(names, told, strict=True)]
            names = ["" if same else name for name, same in zip(names, alike, strict=True)]
            found.append(Fact(what, list(zip(names, told, strict=True))))
    return found


def _facts(subject: Subject) -> Iterator[tuple[str, Markup]]:
    config = tomllib.loads(subject.config)
    for what, tell in (
        ("network", _network), ("rule", _rule), ("feedback", _feedback), ("data", _data),
        ("loss", _loss), ("time", _time), ("seed", _seed),
    ):  # fmt: skip
        if text := tell(config):
            yield what, text if isinstance(text, Markup) else escape(text)
    if subject.members is not None:
        yield "sweep", escape(_sweep(subject))


def _network(config: Mapping[str, Any]) -> str:
    network = config.get("network", {})
    widths, phi = network.get("widths"), network.get("activation")
    phi = _kind(phi) if isinstance(phi, Mapping) else phi
    shape = "–".join(map(str, widths)) if widths else ""
    kind = network.get("kind", "mlp")
    words = [kind if kind != "mlp" or not shape else shape, phi or ""]
    words += ["with biases"] if network.get("bias") else []
    init = config.get("init", {})
    start = f"W(0) {_kind(init)}" if init.get("kind") else ""
    return ", ".join(filter(None, [*words, _options(network, "network"), start]))


def _rule(config: Mapping[str, Any]) -> Markup:
    rule = config.get("rule", {})
    kind = str(rule.get("kind", ""))
    if not kind:
        return Markup("")
    equations = {row["name"]: row["equation"] for row in listed("rules")}
    told = escape(kind)
    if kind in equations:
        told += Markup('<span class="equation">{}</span>').format(equation_html(equations[kind]))
    changes = {row["name"]: row["equation"] for row in listed("modifiers")}
    for modifier in rule.get("modifiers") or ():
        name = modifier["kind"] if isinstance(modifier, Mapping) else str(modifier)
        told += escape(f" under {name} ")
        if name in changes:
            line = equation_html(changes[name])
            told += Markup('<span class="equation">{}</span>').format(line)
    return told


def _feedback(config: Mapping[str, Any]) -> str:
    kind = config.get("rule", {}).get("kind")
    rows = [row for row in listed("rules") if row["name"] == kind]
    feedback = config.get("feedback", {})
    if (rows and rows[0]["feedback"] == "none") or not feedback:
        return ""
    return _kind(feedback)


def _data(config: Mapping[str, Any]) -> str:
    task = config.get("task", {})
    samples = f"{task['samples']} samples" if task.get("samples") else ""
    return ", ".join(filter(None, [str(task.get("kind", "")), samples, _options(task, "task")]))


def _loss(config: Mapping[str, Any]) -> str:
    task = config.get("task", {})
    loss = task.get("loss", "")
    loss = _kind(loss) if isinstance(loss, Mapping) else loss
    mean = ", mean over samples" if task.get("reduction") == "mean" else ""
    return f"{loss}{mean}" if loss else ""


def _time(config: Mapping[str, Any]) -> str:
    flow = config.get("flow", {})
    if "t1" not in flow:
        return ""
    text = f"0 to {number(flow['t1'])}"
    text += f", {flow['saves']} saves" if "saves" in flow else ""
    stops = [f"{key} {number(value)}" for key, value in (flow.get("stop") or {}).items()]
    text += f", or until {', '.join(stops)}" if stops else ""
    solver = flow.get("solver", "auto")
    step = f"step {number(flow['step'])}" if flow.get("step") else ""
    step = step or (f"rtol {number(flow['rtol'])}" if flow.get("rtol") else "")
    return f"{text}; {solver}" + (f", {step}" if step else "")


def _seed(config: Mapping[str, Any]) -> str:
    precision = config.get("precision", "float64")
    seed = str(config.get("seed", 0))
    return seed if precision == "float64" else f"{seed}, {precision}"


def _sweep(subject: Subject) -> str:
    """Its parameters with their ranges, and the number of members."""
    members = subject.members
    assert members is not None
    parts = [
        f"{p.short}: {p.labels[0]}" + (f" to {p.labels[-1]} ({p.size})" if p.size > 1 else "")
        for p in members.parameters
    ]
    if members.seeded:
        parts.append(f"{len(members.seed_labels)} seeds")
    return f"{' × '.join(parts)} = {subject.summary['members']} members"


def _kind(section: Mapping[str, Any]) -> str:
    """A kind with its options, `gaussian (scale 1)`."""
    own = {key: value for key, value in section.items() if key not in ("kind", "richness")}
    told = ", ".join(f"{key} {number(value)}" for key, value in own.items() if _telling(value))
    return f"{section.get('kind', '')} ({told})" if told else str(section.get("kind", ""))


def _options(section: Mapping[str, Any], name: str) -> str:
    """Numbers and words of a section that have no row of their own."""
    return ", ".join(
        key.replace("_", " ") if value is True else f"{key.replace('_', ' ')} {number(value)}"
        for key, value in section.items() if key not in _SAID[name] and _telling(value)
    )  # fmt: skip


def _telling(value: Any) -> bool:
    """Whether an option is on, and short enough to be said."""
    if isinstance(value, Mapping) or value in (False, None, "", 0, []):
        return False
    return not isinstance(value, list) or len(value) <= 4
