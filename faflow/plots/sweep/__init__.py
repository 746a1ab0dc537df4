"""Figures of sweeps: distributions over seeds, against time and against parameters.

Apart from `faflow.plots`, which does without the experiments room and so without JAX.
"""

from .draw import draw_sweep as draw_sweep
