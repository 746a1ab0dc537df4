"""From a config file to a stored result: schema, registries, build, run, store, check.

`run` and `certify` are functions of the modules of these names.
"""

from typing import TYPE_CHECKING

from .._doors import doors

if TYPE_CHECKING:
    from .certify import second_opinion as second_opinion
    from .check import check_rule as check_rule
    from .check_tables import check_rows as check_rows
    from .discover import find_laws as find_laws
    from .discover import law_lines as law_lines
    from .dump import config_text as config_text
    from .errors import ConfigError as ConfigError
    from .files import replace_arrays as replace_arrays
    from .files import replace_text as replace_text
    from .load import apply_overrides as apply_overrides
    from .meant import resolve_path as resolve_path
    from .programs import in_precision as in_precision
    from .stored import Result as Result
    from .stored import open_result as open_result
    from .summary import environment as environment
    from .sweep import Combination as Combination
    from .sweep import Members as Members
    from .sweep import Parameter as Parameter
    from .sweep import Plan as Plan
    from .sweep import Progress as Progress
    from .sweep import Spread as Spread
    from .sweep import Sweep as Sweep
    from .sweep import drift_distribution as drift_distribution
    from .sweep import fit_distribution as fit_distribution
    from .sweep import is_sweep as is_sweep
    from .sweep import open_sweep as open_sweep
    from .sweep import plan_of as plan_of
    from .sweep import run_sweep as run_sweep
    from .sweep import spread as spread
    from .sweep import sweep_rows as sweep_rows
    from .tables import certificate_rows as certificate_rows
    from .tables import drift_rows as drift_rows
    from .tables import fit_rows as fit_rows

__getattr__ = doors(
    __name__,
    {
        "certify": "second_opinion",
        "check": "check_rule",
        "check_tables": "check_rows",
        "discover": "find_laws law_lines",
        "dump": "config_text",
        "errors": "ConfigError",
        "files": "replace_arrays replace_text",
        "load": "apply_overrides",
        "meant": "resolve_path",
        "programs": "in_precision",
        "stored": "Result open_result",
        "summary": "environment",
        "sweep": "Combination Members Parameter Plan Progress Spread Sweep drift_distribution "
        "fit_distribution is_sweep open_sweep plan_of run_sweep spread sweep_rows",
        "tables": "certificate_rows drift_rows fit_rows",
    },
)
