"""The phase portrait: the page's script draws one chosen quantity against another."""

from ..block import Block
from ..figures import PageFigure, base_layout
from ..material import Material

KEY = "phase"
FEWEST = 2


def phase_block(material: Material) -> Block:
    """An empty figure, which the script fills; nothing where there are less than two quantities."""
    told = {
        (figure.key, trace["meta"]["what"])
        for figure in material.figures if figure.timed
        for trace in figure.traces if trace["meta"].get("read")
    }  # fmt: skip
    if len(told) < FEWEST:
        return Block()
    layout = {**base_layout("", log=False, xlabel=""), "showlegend": False, "hovermode": "closest"}
    caption = "hollow: start; filled: end; the cross stands at the time chosen above"
    figure = PageFigure(KEY, "One quantity against another", caption, [], layout, timed=False)
    return Block(figures=[figure])
