"""Sweeps: many flows of one config, planned, run in chunks that are durable, and gathered."""

from typing import TYPE_CHECKING

from ..._doors import doors

if TYPE_CHECKING:
    from .distribution import Combination as Combination
    from .distribution import Members as Members
    from .distribution import Parameter as Parameter
    from .distribution import Spread as Spread
    from .distribution import spread as spread
    from .plan import Plan as Plan
    from .plan import plan_of as plan_of
    from .stored import Sweep as Sweep
    from .stored import is_sweep as is_sweep
    from .stored import open_stored as open_stored
    from .stored import open_sweep as open_sweep
    from .sweep import Progress as Progress
    from .sweep import run_sweep as run_sweep
    from .tables import drift_distribution as drift_distribution
    from .tables import fit_distribution as fit_distribution
    from .tables import sweep_rows as sweep_rows

__getattr__ = doors(
    __name__,
    {
        "distribution": "Combination Members Parameter Spread spread",
        "plan": "Plan plan_of",
        "stored": "Sweep is_sweep open_stored open_sweep",
        "sweep": "Progress run_sweep",
        "tables": "drift_distribution fit_distribution sweep_rows",
    },
)
