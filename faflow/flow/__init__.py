"""A problem, `integrate`, the solution: the only room that integrates."""

from .events import EventCounts as EventCounts
from .events import EventLog as EventLog
from .events import EventRecord as EventRecord
from .events import Fork as Fork
from .integrate import check_times as check_times
from .integrate import compiled_solve as compiled_solve
from .integrate import integrate as integrate
from .integrate import solve as solve
from .piecewise import check_exact as check_exact
from .problem import Exact as Exact
from .problem import FlowProblem as FlowProblem
from .problem import Numerics as Numerics
from .problem import Stops as Stops
from .solution import FlowError as FlowError
from .solution import FlowSolution as FlowSolution
from .stepping import Counts as Counts
