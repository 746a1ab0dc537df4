"""The phase portrait: the page's script draws one chosen quantity against another."""

from ..content import Content
from ..figures import PageFigure, base_layout
from ..material import Material

KEY = "phase"
FEWEST = 2


def phase_block(material: Material) -> Content:
    """An empty figure, which the script fills; nothing where there are less than two quantities."""
    told = {
        (figure.key, trace["meta"]["what"])
        for figure in material.figures if figure.timed
        for trace in figure.traces if trace["meta"].get("read")
    }  # fmt: skip
    if len(told) < FEWEST:
        return Content()
    layout = {**base_layout("", log=False, xlabel=""), "showlegend": False, "hovermode": "closest"}
    caption = "hollow: start; filled: end; the cross stands at the time chosen above"
    figure = PageFigure(KEY, "One quantity against another", caption, [], layout, timed=False)
    return Content(figures=[figure])
