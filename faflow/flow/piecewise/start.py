"""Where an exact flow starts."""

import jax
import jax.numpy as jnp

from ...networks.draws import frobenius
from ..events import EventCounts
from ..loop.carry import RUNNING, Counts
from .decisions.decide import new_plan
from .mode import no_sliding
from .setting import Setting, rms
from .state import STEP, Log, State, Trial, here_of
from .watch import first_hunt


def start(setting: Setting) -> tuple[State, Log]:
    """The state at t0 with every pair on the side its h is on (0 counts as below, as for
    phi'(0) = 0), and an empty log."""
    field, t0, t1 = setting.field, setting.t0, setting.t1
    flat, pairs = field.flat(field.problem.weights), field.layout.pairs
    mode = no_sliding(jnp.zeros(pairs, bool), field.slots)

    def side(_, mode):
        return mode._replace(above=field.motion_at_rest(flat, mode).h > 0)

    # The gates decide a_l and with it h_{l+1}: settle the layers from below.
    mode = jax.lax.fori_loop(0, len(field.layout.hidden), side, mode)
    motion = field.motion_at_rest(flat, mode)
    dt = 0.01 * rms(flat) / rms(motion.velocity)
    dt = jnp.where(jnp.isfinite(dt) & (dt > 0), jnp.minimum(dt, t1 - t0), t1 - t0)
    zero, one, nothing = jnp.zeros((), jnp.int32), jnp.ones_like(t0), jnp.zeros_like(flat)
    inf, nan = jnp.full_like(t0, jnp.inf), jnp.full_like(t0, jnp.nan)
    speed = frobenius(motion.velocity)
    looks = zero + len(field.layout.hidden) + 1
    state = State(
        t=t0, dt=dt, first_dt=dt, cap=inf, moved=dt, here=here_of(flat, motion), mode=mode,
        phase=zero + STEP,
        trial=Trial(nothing, nothing, one, one, zero, nothing, *([one] * 5), zero),
        plan=new_plan(mode), counts=Counts(zero, zero, looks), events=EventCounts(*([zero] * 8)),
        stalled=zero, missed=zero, outcome=zero + RUNNING, peak_speed=speed,
        fork_time=nan, fork_pair=zero + pairs, level=zero,
        hunt=first_hunt(setting, flat, speed),
    )  # fmt: skip
    size = setting.numerics.exact.events
    times, became = jnp.full(size, jnp.nan), jnp.zeros(size, jnp.int8)
    return state, Log(times, jnp.zeros(size, jnp.int32), became, zero)
