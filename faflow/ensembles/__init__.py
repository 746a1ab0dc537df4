"""Many flows: grids of parameters, and batches of flows on one device or several."""

from .batch import solve_batch as solve_batch
from .batch import stacked as stacked
from .grid import Axis as Axis
from .grid import Grid as Grid
