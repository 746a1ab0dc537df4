"""A problem, `integrate`, the solution: the only room that integrates."""

from .._doors import made_callable
from .automatic import by_its_solvers as by_its_solvers
from .automatic import is_automatic as is_automatic
from .automatic import joined as joined
from .devices import at_home as at_home
from .devices import beside as beside
from .devices import everywhere as everywhere
from .devices import samples_mesh as samples_mesh
from .devices import spread_over as spread_over
from .devices import the_same_everywhere as the_same_everywhere
from .discrete import Discrete as Discrete
from .discrete import TwinSolution as TwinSolution
from .discrete import run_twin as run_twin
from .events import EventCounts as EventCounts
from .events import EventLog as EventLog
from .events import EventRecord as EventRecord
from .events import Fork as Fork
from .flow import Flow as Flow
from .integrate import check_times as check_times
from .integrate import integrate as integrate
from .kink_error import SKETCH as SKETCH
from .kink_error import Companion as Companion
from .kink_error import KinkError as KinkError
from .kink_error import WeightSketch as WeightSketch
from .kink_error import companion as companion
from .kink_error import compare_flows as compare_flows
from .kink_error import estimate_kink_error as estimate_kink_error
from .loop.carry import Counts as Counts
from .loop.carry import ImplicitCounts as ImplicitCounts
from .loop.programs import keeps_its_own as keeps_its_own
from .loop.programs import kept_programs as kept_programs
from .loop.programs import program_folder as program_folder
from .loop.recording import with_rows as with_rows
from .loop.slices import Meter as Meter
from .loop.slices import Underway as Underway
from .loop.slices import begin as begin
from .loop.slices import go_on as go_on
from .loop.slices import in_slices as in_slices
from .loop.slices import keeps_states as keeps_states
from .loop.slices import observed as observed
from .loop.slices import observed_at as observed_at
from .loop.slices import progress_told as progress_told
from .loop.slices import use_of_records as use_of_records
from .loop.slices import use_of_steps as use_of_steps
from .loop.tolerance import SMALL_SHARE as SMALL_SHARE
from .loop.tolerance import settled as settled
from .memory import PREPARING as PREPARING
from .memory import RECORDED as RECORDED
from .memory import Memory as Memory
from .memory import estimate as estimate
from .memory import machine as machine
from .memory import room as room
from .memory import saves_that_fit as saves_that_fit
from .piecewise import check_exact as check_exact
from .polish import Polished as Polished
from .polish import check_polish as check_polish
from .polish import polish as polish
from .problem import Exact as Exact
from .problem import FlowProblem as FlowProblem
from .problem import Numerics as Numerics
from .problem import Stops as Stops
from .projection import check_projection as check_projection
from .served import check_implicit as check_implicit
from .solution import FlowError as FlowError
from .solution import FlowSolution as FlowSolution
from .solution import Leg as Leg
from .whole import solve as solve

# `faflow.flow(network, rule, inputs, targets, t1=...)`: the Python door, above all rooms.
CALLED = ("faflow.learning", "learn")
made_callable(__name__)
