"""How things look: colours, line styles, text that is safe to draw.

Colours are Okabe & Ito's (2008), told apart with every common colour blindness; nothing is said by
colour alone.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import matplotlib
from matplotlib import font_manager
from matplotlib.colors import to_hex
from matplotlib.ticker import LogFormatterSciNotation

BLACK, BLUE, GREEN, SKY = "#000000", "#0072B2", "#009E73", "#56B4E9"
ORANGE, VERMILION, PURPLE, GREY = "#E69F00", "#D55E00", "#CC79A7", "#767676"

LAYERS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK)
COOL = (BLUE, GREEN, SKY, BLACK)
WARM = (VERMILION, ORANGE, PURPLE)

Dashes = str | tuple[int, tuple[float, ...]]
SOLID, DASHED, DOTTED = "-", (0, (4.0, 1.5)), (0, (1.0, 1.2))
STYLES: tuple[Dashes, ...] = (
    SOLID,
    DASHED,
    DOTTED,
    (0, (6.0, 1.5, 1.0, 1.5)),
    (0, (8.0, 2.0)),
    (0, (3.0, 1.2, 1.0, 1.2, 1.0, 1.2)),
)
MARKERS = ("o", "s", "^", "D", "v", "P")
FEW = 6  # as many lines as can be told apart; beyond, a family is a gradient named at its ends

_RAISED = str.maketrans("-−0123456789", "⁻⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
COLUMN = 3.5  # inches: one column of a two-column page
FONT = 7.5  # points
KINDS = ("png", "pdf", "csv")

_RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": FONT,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.titlesize": FONT,
    "axes.titley": 1.0,  # found out by itself, it costs a third of the drawing
    "figure.titlesize": 8.0,
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same picture on every machine
    "font.size": FONT,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "legend.fontsize": 6.8,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "pdf.fonttype": 42,
    "savefig.dpi": 250,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
}


class FigureStyle(NamedTuple):
    """How figures of a result are written: `kinds` of files, `width` of a column in inches, `font`
    in points, and whether there are `titles` (a paper's captions say the same)."""

    kinds: Sequence[str] = KINDS
    width: float = COLUMN
    font: float = FONT
    titles: bool = True

    @property
    def scale(self) -> float:
        """A figure of the house, of `laid_out` inches, is drawn this many times as large."""
        return self.font / FONT

    @property
    def laid_out(self) -> float:
        return self.width / self.scale


HOUSE = FigureStyle()


@contextmanager
def house_style(scale: float = 1.0) -> Iterator[None]:
    """matplotlib's defaults and ours, letters `scale` times as large, whatever the user's settings,
    which come back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        sizes = [key for key in _RC if key.endswith("size")]
        matplotlib.rcParams.update({key: scale * _RC[key] for key in sizes})
        yield


def plain_text(text: str, width: int = 60) -> str:
    """`text` as matplotlib will draw it letter by letter: one line, no mathematics, no gaps.

    Characters that the font lacks become a box, and a leading underscore, by which matplotlib
    hides legend entries, gets a thin space before it.
    """
    line = " ".join(text.split())
    if len(line) > width:
        line = line[: width - 1] + "…"
    drawn = "".join(c if ord(c) in _glyphs() else "□" for c in line)
    drawn = "\u2009" + drawn if drawn.startswith("_") else drawn
    return drawn.replace("$", r"\$")


class Powers(LogFormatterSciNotation):
    """Ticks of a log axis as letters, 10⁻³, which are drawn much faster than mathematics."""

    def __call__(self, x, pos=None) -> str:
        text = super().__call__(x, pos)
        for old, new in (("$\\mathdefault{", ""), ("}}$", "}"), ("}$", ""), (r"\times", "×")):
            text = text.replace(old, new)
        return re.sub(r"\^\{(.*?)\}", lambda power: power[1].translate(_RAISED), text)


@cache
def _glyphs() -> frozenset[int]:
    path = font_manager.findfont("DejaVu Sans")
    return frozenset(font_manager.get_font(path).get_charmap())


def gradient(count: int) -> list[str]:
    """`count` colours from dark to light along cividis, short of its yellow end."""
    cividis = matplotlib.colormaps["cividis"]
    return [to_hex(cividis(0.8 * i / max(count - 1, 1))) for i in range(count)]


def layer_colours(count: int) -> list[str]:
    """One colour per layer."""
    return gradient(count) if count > FEW else list(LAYERS[:count])


def named(labels: list[str]) -> list[str | None]:
    """The labels that a legend shows: all of a few, else the first and the last."""
    if len(labels) <= FEW:
        return list(labels)
    return [label if i in (0, len(labels) - 1) else None for i, label in enumerate(labels)]
