"""[sensitivity]: derivatives of figures of a flow's end with respect to its config."""

from .measure import SENSITIVITY as SENSITIVITY
