"""The network drawn small, as SVG in the colours of the page."""

import tomllib
from collections.abc import Iterator, Sequence
from itertools import pairwise

from markupsafe import Markup, escape

from ...compare.subject import Subject
from ...config.kinds.catalogue import listed

SHOWN = 5  # neurons of a layer that are drawn
DEEPEST = 9  # layers of dots; deeper networks are drawn by their ends
PARTS = 6  # of a model
LETTERS = 26
_TIP = Markup(
    '<defs><marker id="tip" viewBox="0 0 6 6" refX="5" refY="3" markerWidth="5" markerHeight="5" '
    'orient="auto"><path d="M0 0L6 3L0 6z"/></marker></defs>'
)
_HIGH, _WIDE, _GAP, _TOP = 16.0, 64.0, 12.0, 12.0


def drawing_of(subject: Subject) -> Markup:
    """A chain of layers with its feedback; of a model its parts; of an infinitely wide network its
    layers. Empty where nothing is known of it."""
    config = tomllib.loads(subject.config)
    network = config.get("network", {})
    kind, widths = network.get("kind", "mlp"), network.get("widths")
    rules = {row["name"]: row["feedback"] for row in listed("rules")}
    feedback = rules.get(config.get("rule", {}).get("kind"), "none")
    if kind == "wide":
        depth = int(network.get("hidden", 1))
        return _chain(["x", *["∞"] * depth, "f"], [1, *[SHOWN] * depth, 1], feedback)
    if widths:
        return _chain([str(width) for width in widths], list(widths), feedback)
    return _parts(subject)


def _chain(labels: Sequence[str], sizes: Sequence[int], feedback: str) -> Markup:
    if len(sizes) > DEEPEST:
        half = DEEPEST // 2
        labels = [*labels[:half], "…", *labels[-half:]]
        sizes = [*sizes[:half], 0, *sizes[-half:]]
    places = [_WIDE * i + 20.0 for i in range(len(sizes))]
    middle = _TOP + _HIGH * (SHOWN - 1) / 2
    columns = [_heights(size, middle) for size in sizes]
    drawn: list[Markup] = []
    for (x0, left), (x1, right) in pairwise(zip(places, columns, strict=True)):
        lines = " ".join(f"M{x0:g} {y0:g}L{x1:g} {y1:g}" for y0 in left for y1 in right)
        drawn.append(Markup('<path class="edge" d="{}"/>').format(lines))
    for x, heights, size, label in zip(places, columns, sizes, labels, strict=True):
        drawn += [Markup('<circle cx="{:g}" cy="{:g}" r="4"/>').format(x, y) for y in heights]
        if size > SHOWN:
            drawn.append(Markup('<path class="more" d="M{:g} {:g}v.1m0 5v.1m0 5v.1"/>').format(
                x, middle + _HIGH * 1 - _HIGH / 2 - 5))  # fmt: skip
        at = Markup('<text x="{:g}" y="{:g}">{}</text>')
        drawn.append(at.format(x, 2 * middle - _TOP + 26, label))
    drawn += _arrows(places, feedback, 2 * middle - _TOP + 34)
    far = feedback == "direct" and len(sizes) > 3
    below = 0 if feedback == "none" else 16 + (8 * (len(sizes) - 3) if far else 0)
    size = (places[-1] + 20, 2 * middle - _TOP + 34 + below)
    return _svg(size, "network", drawn)


def _heights(size: int, middle: float) -> list[float]:
    """Of the dots of a layer; many leave the middle place to an ellipsis."""
    if size > SHOWN:
        return [middle + _HIGH * (i - (SHOWN - 1) / 2) for i in range(SHOWN) if i != SHOWN // 2]
    return [middle + _HIGH * (i - (size - 1) / 2) for i in range(size)]


def _arrows(places: Sequence[float], feedback: str, y: float) -> Iterator[Markup]:
    """Where errors come back: from the layer above, or from the outputs to every hidden layer."""
    if feedback not in ("layerwise", "direct"):
        return
    curve = Markup('<path class="back" d="M{:g} {:g}Q{:g} {:g} {:g} {:g}" marker-end="url(#tip)"/>')
    for i in range(1, len(places) - 1):
        start = places[i + 1] if feedback == "layerwise" else places[-1]
        deep = y + 12 + 8 * (len(places) - 2 - i if feedback == "direct" else 0)
        yield curve.format(start - 3, y, (start + places[i]) / 2, 2 * deep - y, places[i] + 3, y)


def _parts(subject: Subject) -> Markup:
    """Parts of a model, what hears the inputs lowest: names of its arrays up to the first dot."""
    if subject.members is not None:
        return Markup("")
    counts: dict[str, int] = {}
    for name in map(str, subject.result.records["start"].to_dataset().data_vars):
        if not name.startswith("feedback."):
            part = _part(name)
            counts[part] = counts.get(part, 0) + 1
    names = list(counts)
    if len(names) > PARTS:
        left = f"{len(names) - PARTS + 1} more parts"
        names = [*names[: PARTS - 2], left, names[-1]]
    drawn: list[Markup] = []
    for i, name in enumerate(reversed(names)):
        count, y = counts.get(name, 0), 4 + 26.0 * i
        words = name if len(name) <= LETTERS else name[: LETTERS - 1] + "…"
        words += f" · {count} arrays" if count > 1 else ""
        box = '<rect x="2" y="{:g}" width="216" height="20" rx="10"/>'
        drawn.append(Markup(box).format(y))
        drawn.append(Markup('<text x="110" y="{:g}">{}</text>').format(y + 14, words))
        if i:
            drawn.append(Markup('<path class="edge" d="M110 {:g}v-6"/>').format(y))
    return _svg((220, 26.0 * len(names) + 6), "model", drawn) if names else Markup("")


def _part(name: str) -> str:
    """`blocks[0]` of `blocks[0].attention.query`: where a name branches first."""
    head, _, rest = name.partition(".")
    following = rest.partition(".")[0]
    return f"{head}.{following}" if following.isdecimal() else head


def _svg(size: tuple[float, float], what: str, drawn: Sequence[Markup]) -> Markup:
    open_ = Markup('<svg class="network" viewBox="0 0 {:g} {:g}" style="max-width:{:g}px" '
                   'role="img" aria-label="{}">').format(*size, size[0], escape(what))  # fmt: skip
    return open_ + _TIP + Markup("").join(drawn) + Markup("</svg>")
