"""Figures of sweeps: distributions over seeds, against time and against parameters."""

from .draw import draw_sweep as draw_sweep
