"""The conditions that every test runs under.

float64, since the bounds are set for it; no silent broadcasting over ranks and no silent casts
(diffrax, equinox, optimistix and lineax run under both); shapes and types of every annotated
function of faflow checked by beartype; property tests with the same examples in every run.
"""

import gc
from collections.abc import Callable
from functools import cache
from pathlib import Path

import checking
import hypothesis
import jax
import pytest
import shared_programs
from jax._src.interpreters import mlir
from prediction_table import write

jax.config.update("jax_enable_x64", True)
# Programs are shared with the last run by `make test CACHE=1`, and kept nowhere else.
jax.config.update("jax_enable_compilation_cache", False)
shared_programs.install()
# Where in the sources an operation comes from, XLA need not know.
jax.config.update("jax_traceback_in_locations_limit", 0)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

checking.install()

# One MLIR context for all programs: JAX makes one for each, 3 to 5 ms, three quarters of what it
# takes to lower a small one. The tests compile eleven thousand.
mlir.make_ir_context = cache(mlir.make_ir_context)


class _Everything:
    def __contains__(self, one: object) -> bool:
        return True


# Every operation is lowered where it stands: JAX makes a function of each kind of operation that
# it meets in a program, to be inlined at once, and takes a fifth longer for the same module.
mlir._uncacheable_primitives = _Everything()
# Tracing makes many objects that live on: look through them less often.
gc.set_threshold(200_000, 20, 50)

# No deadline: the first example of a property pays for the compilation.
hypothesis.settings.register_profile("fixed", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("fixed")


pytest_plugins = ["result_fixtures"]

MAPS = Path("/proc/self/maps")  # Linux
MOST_MAPS = 30_000  # of the 65,530 that a process may have; compiled programs hold a dozen each
_torn_down = 0


def pytest_runtest_teardown() -> None:
    """Let go of compiled programs before there are too many: XLA aborts when it can map no more."""
    global _torn_down
    _torn_down += 1
    if _torn_down % 10 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()


def pytest_collection_finish() -> None:
    gc.freeze()  # modules stay


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")
    parser.addoption("--pages", action="store_true", help="run the tests marked pages as well")
    parser.addoption("--predictions", metavar="FILE", help="write the table of predictions there")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests marked slow repeat a claim at a larger size or in one more case: `--slow` runs them.
    `--pages` runs the commands of the documentation's shell blocks."""
    wanted = {
        "slow": config.getoption("--slow") or config.getoption("--predictions"),
        "pages": config.getoption("--pages") or config.getoption("--slow"),
    }
    for name in (name for name, run in wanted.items() if not run):
        skip = pytest.mark.skip(reason=f"{name}; run it with --{name}")
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(skip)


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """The table of what `measured` noted, where it was asked for (prediction_table.py)."""
    if path := config.getoption("--predictions"):
        write(Path(path), terminalreporter.stats)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Asserts a bound on a prediction, and notes the figure for the table of docs/predictions.md:
    measured(8, "Euler, ReLU: law identity", value, below=1e-13), or above=… for a control."""

    def note(number: int, what: str, value, *, below=None, above=None) -> None:
        value = float(value)
        bound = f"< {below:g}" if above is None else f"> {above:g}"
        entry = (number, what, value, bound, request.node.nodeid.split("[")[0])
        request.node.user_properties.append(("prediction", entry))
        if below is not None:
            assert value < below, f"{what}: {value:.3g}, not below {below:g}"
        if above is not None:
            assert value > above, f"{what}: {value:.3g}, not above {above:g}"
        assert below is not None or above is not None

    return note
