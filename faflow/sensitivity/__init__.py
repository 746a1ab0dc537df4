"""Derivatives across kinks, and of where flows end."""

from .kinks import Crossed as Crossed
from .kinks import across_kinks as across_kinks
from .limit import Limit as Limit
from .limit import limit_of_flow as limit_of_flow
