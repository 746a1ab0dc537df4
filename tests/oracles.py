"""The learning flows written a second time, in numpy, straight from the equations; nothing of
faflow computes here. SciPy integrates them where a reference trajectory is wanted.

Samples are columns, as in the papers: A_0 = X^T, H_l = W_l A_{l-1} + beta_l, A_l = phi(H_l),
dW_l/dt = -Delta_l A_{l-1}^T, dbeta_l/dt = -sum_mu Delta_l (theory, section 1).
"""

from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import erf

ACTIVATIONS = {  # name -> phi, phi', Euler degree
    "linear": (lambda h: h, np.ones_like, 1),
    "relu": (lambda h: np.maximum(h, 0), lambda h: 1.0 * (h > 0), 1),
    "leaky-relu": (lambda h: np.where(h > 0, h, 0.1 * h), lambda h: np.where(h > 0, 1, 0.1), 1),
    "relu-squared": (lambda h: np.maximum(h, 0) ** 2, lambda h: 2 * np.maximum(h, 0), 2),
    "quadratic": (lambda h: h**2, lambda h: 2 * h, 2),
    "tanh": (np.tanh, lambda h: 1 / np.cosh(h) ** 2, None),
    "erf": (lambda h: erf(h / 2**0.5), lambda h: (2 / np.pi) ** 0.5 * np.exp(-(h**2) / 2), None),
}


def softmax(f):
    shifted = np.exp(f - f.max(axis=0))
    return shifted / shifted.sum(axis=0)


ERRORS = {  # dLoss/df per sample; f and y are (outputs, samples)
    "squared": lambda f, y: f - y,
    "cross-entropy": lambda f, y: softmax(f) - y,
    "logcosh": lambda f, y: np.tanh(f - y),
}


BACKWARD = {  # rule -> M of (W, F), which delta goes back through
    "gradient": lambda w, f: w,
    "feedback-alignment": lambda w, f: f,
    "uniform-sign-symmetry": lambda w, f: np.sign(w),
    "fixed-magnitude-sign-symmetry": lambda w, f: np.abs(f) * np.sign(w),
    "mixed-feedback-alignment": lambda w, f: (w + f) / 2,
    "potential-feedback": lambda w, f: np.tanh(w),
    "last-layer-only": lambda w, f: 0 * w,
}
WITHOUT = ("gradient", "uniform-sign-symmetry", "last-layer-only")  # feedback matrices


@dataclass(frozen=True)
class Flow:
    """A flow from given weights; `feedback` is (F_2..F_L) or (D_1..D_{L-1}), samples are rows."""

    name: str
    weights: tuple[np.ndarray, ...]
    inputs: np.ndarray
    targets: np.ndarray
    feedback: tuple[np.ndarray, ...] = ()
    biases: tuple[np.ndarray, ...] = ()
    rule: str = "feedback-alignment"
    activation: str = "tanh"
    loss: str = "squared"
    t1: float = 1.0
    stiff: bool = False

    @property
    def state(self) -> np.ndarray:
        return np.concatenate([part.ravel() for part in (*self.weights, *self.biases)])

    def at(self, state: np.ndarray) -> "Flow":
        """The same flow with its weights and biases read from a flat state."""
        read, end = [], 0
        for part in (*self.weights, *self.biases):
            start, end = end, end + part.size
            read.append(state[start:end].reshape(part.shape))
        depth = len(self.weights)
        return replace(self, weights=tuple(read[:depth]), biases=tuple(read[depth:]))


def forward(flow):
    """(H_1..H_L), (A_0..A_L), columns are samples; the read-out is linear."""
    phi = ACTIVATIONS[flow.activation][0]
    pre, post = [], [flow.inputs.T]
    for l, weight in enumerate(flow.weights):
        h = weight @ post[-1]
        if flow.biases:
            h = h + flow.biases[l][:, None]
        pre.append(h)
        post.append(phi(h) if l + 1 < len(flow.weights) else h)
    return pre, post


def residual(flow):
    """E (outputs, samples) = dLoss/df."""
    return ERRORS[flow.loss](forward(flow)[1][-1], flow.targets.T)


def velocity(flow):
    """(dW_1..dW_L), (dbeta_1..dbeta_L) of the chain rules of `BACKWARD`, DFA or FW-DTP."""
    pre, post = forward(flow)
    slope = ACTIVATIONS[flow.activation][1]
    error = ERRORS[flow.loss](post[-1], flow.targets.T)
    depth = len(flow.weights)
    deltas, back = [error], error
    for l in range(depth - 2, -1, -1):  # hidden layer l + 1
        if flow.rule == "direct-feedback-alignment":
            back = flow.feedback[l].T @ error
        elif flow.rule == "fixed-weight-difference-target-propagation":
            back = flow.feedback[l].T @ back
        else:
            fixed = None if flow.rule in WITHOUT else flow.feedback[l]
            back = BACKWARD[flow.rule](flow.weights[l + 1], fixed).T @ deltas[0]
        deltas.insert(0, slope(pre[l]) * back)
    moves = tuple(-delta @ a.T for delta, a in zip(deltas, post[:-1], strict=True))
    shifts = tuple(-delta.sum(axis=1) for delta in deltas) if flow.biases else ()
    return moves, shifts


def field(t, state, flow):
    moves, shifts = velocity(flow.at(state))
    return np.concatenate([part.ravel() for part in (*moves, *shifts)])


def trajectory(flow, times, rtol=1e-12, atol=1e-14):
    """States (times, n) by SciPy: DOP853, Radau for stiff flows."""
    method = "Radau" if flow.stiff else "DOP853"
    solution = solve_ivp(
        field, (times[0], times[-1]), flow.state, method, times, args=(flow,), rtol=rtol, atol=atol
    )
    assert solution.success, solution.message
    return solution.y.T


def neuron_balance(flow, potential, degree=1.0, bias=True):
    """Per hidden layer Q_lj = 1/2||W_l[j]||^2 + 1/2 beta_lj^2 - k psi(W_{l+1}[:,j]) (2.1, 2.2).

    `potential[l]`: psi's entries, an array of W_{l+1}'s shape.
    """
    out = []
    for l, entries in enumerate(potential):
        q = 0.5 * (flow.weights[l] ** 2).sum(axis=1) - degree * entries.sum(axis=0)
        if flow.biases and bias:
            q = q + 0.5 * flow.biases[l] ** 2
        out.append(q)
    return out


def linear_map(flow):
    return reduce(lambda low, up: up @ low, flow.weights)


def random_flow(
    seed,
    widths,
    samples=9,
    *,
    rule="feedback-alignment",
    bias=False,
    loss="squared",
    scale=1.0,
    **kw,
):
    """Fan-in scaled gaussian weights, feedback of the rule's shapes, gaussian data."""
    rng = np.random.default_rng(seed)
    gaussian = lambda out, into: scale * rng.standard_normal((out, into)) / into**0.5  # noqa: E731
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    weights = tuple(gaussian(*pair) for pair in pairs)
    upper = [] if rule in WITHOUT else pairs[1:]
    if rule == "direct-feedback-alignment":
        upper = [(widths[-1], width) for width in widths[1:-1]]
    feedback = tuple(rng.standard_normal(pair) / pair[1] ** 0.5 for pair in upper)
    biases = tuple(0.3 * rng.standard_normal(out) for out, _ in pairs) if bias else ()
    inputs = rng.standard_normal((samples, widths[0]))
    targets = rng.standard_normal((samples, widths[-1]))
    if loss == "cross-entropy":
        targets = np.eye(widths[-1])[rng.integers(widths[-1], size=samples)]
    return Flow("random", weights, inputs, targets, feedback, biases, rule=rule, loss=loss, **kw)


def _accuracy_flows():
    smooth = random_flow(1, (3, 6, 5, 1), activation="tanh", t1=2.0)
    target = np.random.default_rng(2).standard_normal((5, 6))
    # ||Z W - Y||: W_1 = W (r, m), W_2 = Z (n, r), X = I, targets Y^T (theory 4.2).
    factors = random_flow(3, (6, 4, 5), samples=6, activation="linear", scale=0.3, t1=3.0)
    factors = replace(factors, inputs=np.eye(6), targets=target.T)
    # Input scales 1, 10, 50: the fastest mode decays thousands of times faster than the slowest.
    stiff = random_flow(4, (3, 5, 1), samples=12, rule="gradient", activation="linear", scale=0.5)
    stiff = replace(stiff, inputs=stiff.inputs * np.array([1.0, 10.0, 50.0]), stiff=True, t1=2.0)
    softmax_net = random_flow(
        5, (4, 6, 3), loss="cross-entropy", rule="direct-feedback-alignment", activation="erf"
    )
    biased = random_flow(6, (3, 5, 4, 2), bias=True, activation="relu-squared", scale=0.6)
    flows = {
        "smooth": smooth,
        "factorisation": factors,
        "stiff": stiff,
        "softmax": replace(softmax_net, t1=3.0),
        "biased": biased,
    }
    return {name: replace(flow, name=name) for name, flow in flows.items()}


ACCURACY_FLOWS = _accuracy_flows()


def to_problem(flow):
    """The same flow as faflow states it."""
    import jax.numpy as jnp

    from faflow.feedback import Feedback
    from faflow.flow import FlowProblem
    from faflow.networks import ACTIVATIONS as PHI
    from faflow.networks import MLP
    from faflow.rules import RULES
    from faflow.tasks import make_data

    rule = RULES[flow.rule]()
    arrays = lambda parts: tuple(map(jnp.asarray, parts))  # noqa: E731
    network = MLP(arrays(flow.weights), arrays(flow.biases), PHI[flow.activation]())
    feedback = Feedback(arrays(flow.feedback), rule.form)
    return FlowProblem(rule, network, feedback, make_data(flow.inputs, flow.targets, flow.loss))


def final_state(network):
    """A faflow network's weights and biases as a flat numpy state."""
    return np.concatenate([np.ravel(part) for part in (*network.weights, *network.biases)])
