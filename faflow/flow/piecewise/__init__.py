"""Flows of networks with kinks, integrated exactly: events between smooth modes."""

from .exact import check_exact as check_exact
from .exact import solve_exact as solve_exact
