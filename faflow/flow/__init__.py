"""A problem, `integrate`, the solution: the only room that integrates."""

from .integrate import check_times as check_times
from .integrate import compiled_solve as compiled_solve
from .integrate import integrate as integrate
from .integrate import solve as solve
from .problem import FlowProblem as FlowProblem
from .problem import Numerics as Numerics
from .problem import Stops as Stops
from .solution import FlowError as FlowError
from .solution import FlowSolution as FlowSolution
from .stepping import Counts as Counts
