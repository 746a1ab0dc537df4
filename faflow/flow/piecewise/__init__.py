"""Flows of networks with kinks, integrated exactly: events between smooth modes."""

from .exact import ExactSolution as ExactSolution
from .exact import integrate_exact as integrate_exact
from .march import EventCounts as EventCounts
