"""`faflow check` of every kind but rules: what is claimed of it, tried on small random numbers."""

from .trial import TRIALS as TRIALS
from .trial import KindTrial as KindTrial
from .trial import section_of as section_of
from .trial import try_kind as try_kind
