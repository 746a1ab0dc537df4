"""From a config file to a stored result: schema, registries, build, run, store, check."""

from . import processes as processes
from .certify import certify as certify
from .certify import second_opinion as second_opinion
from .check import check_rule as check_rule
from .discover import find_laws as find_laws
from .discover import law_lines as law_lines
from .dump import config_text as config_text
from .errors import ConfigError as ConfigError
from .load import apply_overrides as apply_overrides
from .programs import in_precision as in_precision
from .run import Result as Result
from .run import open_result as open_result
from .run import resolve_path as resolve_path
from .run import run as run
from .sweep import Plan as Plan
from .sweep import Progress as Progress
from .sweep import Sweep as Sweep
from .sweep import is_sweep as is_sweep
from .sweep import open_sweep as open_sweep
from .sweep import plan_of as plan_of
from .sweep import run_sweep as run_sweep
from .sweep import sweep_rows as sweep_rows
from .tables import certificate_rows as certificate_rows
from .tables import check_rows as check_rows
from .tables import drift_rows as drift_rows
from .tables import fit_rows as fit_rows
