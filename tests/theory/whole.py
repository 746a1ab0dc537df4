"""A flow by one compiled program, `solve`: `integrate` has three, and goes on in slices. That cuts
change no bit is what tests/flow/test_slices.py is about."""

import equinox as eqx
import jax
import numpy as np

from faflow._results import Outcome
from faflow.flow import solve


@eqx.filter_jit
def whole(problem, ts, observables, numerics):
    return solve(problem, ts, observables, numerics)


def completed(problem, ts, observables, numerics):
    """The solution, in numpy's arrays, of a flow that gets to its end."""
    found = jax.device_get(whole(problem, np.asarray(ts), observables, numerics))
    assert Outcome(int(found.outcome)) is Outcome.COMPLETED
    return found
