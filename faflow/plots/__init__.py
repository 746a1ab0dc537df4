"""Figures from stored results: the only place for matplotlib."""

from .draw import FIGURES as FIGURES
from .draw import OVERVIEW as OVERVIEW
from .draw import draw as draw
from .style import FigureStyle as FigureStyle
