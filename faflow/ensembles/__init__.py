"""Many flows: grids of parameters."""

from .grid import Axis as Axis
from .grid import Grid as Grid
