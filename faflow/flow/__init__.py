"""A problem, `integrate`, the solution: the only room that integrates."""

from .events import EventCounts as EventCounts
from .events import EventLog as EventLog
from .events import EventRecord as EventRecord
from .events import Fork as Fork
from .integrate import check_times as check_times
from .integrate import compiled_solve as compiled_solve
from .integrate import integrate as integrate
from .integrate import solve as solve
from .kink_error import SKETCH as SKETCH
from .kink_error import Companion as Companion
from .kink_error import KinkError as KinkError
from .kink_error import WeightSketch as WeightSketch
from .kink_error import companion as companion
from .kink_error import compare_flows as compare_flows
from .kink_error import estimate_kink_error as estimate_kink_error
from .piecewise import check_exact as check_exact
from .problem import Exact as Exact
from .problem import FlowProblem as FlowProblem
from .problem import Numerics as Numerics
from .problem import Stops as Stops
from .solution import FlowError as FlowError
from .solution import FlowSolution as FlowSolution
from .stepping import Counts as Counts
