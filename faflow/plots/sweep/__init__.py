"""Figures of sweeps: distributions over seeds, against time and against parameters.

Apart from `faflow.plots`, which does without the runs and so without JAX.
"""

from .draw import draw_sweep as draw_sweep
