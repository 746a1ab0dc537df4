"""A flow by SciPy and matplotlib, as one would write it without faflow: `waiting.py` beside it.

`python benchmarks/waiting_peer.py DATA.npz FIGURE.png`, DATA.npz: X, y, W1 ..., F2 ... (feedback),
t1, saves, rtol, atol, method, relu. The weights at the saves, the drift of Theorem 1's layer
balance, and one figure of four panels: loss, drift, alignment of W and F, norms.
"""

import sys

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from scipy.integrate import solve_ivp

given = np.load(sys.argv[1])
X, y, relu = given["X"], given["y"], bool(given["relu"])
depth = sum(name.startswith("W") for name in given)
first = [given[f"W{i}"] for i in range(1, depth + 1)]
feedback = [given[f"F{i}"] for i in range(2, depth + 1)]
ends = np.cumsum([w.size for w in first])


def unravel(flat):
    parts = np.split(flat, ends[:-1])
    return [part.reshape(w.shape) for part, w in zip(parts, first, strict=True)]


def forward(weights):
    posts, gates = [X], []
    for i, w in enumerate(weights):
        h = posts[-1] @ w.T
        gates.append(h > 0 if relu and i < depth - 1 else np.ones_like(h))
        posts.append(h * gates[-1])
    return posts, gates


def velocity(t, flat):
    weights = unravel(flat)
    posts, gates = forward(weights)
    delta, moves = (posts[-1] - y) * given["scale"], []
    for i in reversed(range(depth)):
        moves.append(-delta.T @ posts[i])
        if i:
            delta = delta @ feedback[i - 1] * gates[i - 1]
    return np.concatenate([move.ravel() for move in reversed(moves)])


ts = np.linspace(0.0, float(given["t1"]), int(given["saves"]))
start = np.concatenate([w.ravel() for w in first])
flow = solve_ivp(velocity, (ts[0], ts[-1]), start, str(given["method"]), ts,
                 rtol=float(given["rtol"]), atol=float(given["atol"]))  # fmt: skip
states = [unravel(column) for column in flow.y.T]
loss = [0.5 * np.sum((forward(w)[0][-1] - y) ** 2) * given["scale"] for w in states]
balance = np.array([
    [0.5 * np.sum(w[i] ** 2) - np.sum(w[i + 1] * feedback[i]) for i in range(depth - 1)]
    for w in states
])  # fmt: skip
cosines = [
    [np.sum(w[i + 1] * f) / np.linalg.norm(w[i + 1]) / np.linalg.norm(f)
     for i, f in enumerate(feedback)] for w in states
]  # fmt: skip
norms = [[np.linalg.norm(w) for w in weights] for weights in states]
figure, axes = plt.subplots(2, 2, figsize=(9, 6))
panels = {"loss": loss, "drift": np.abs(balance - balance[0]) + 1e-17, "alignment": cosines,
          "norms": norms}  # fmt: skip
for axis, (name, values) in zip(axes.flat, panels.items(), strict=True):
    axis.plot(ts, values)
    axis.set(title=name, yscale="log" if name in ("loss", "drift") else "linear")
figure.savefig(sys.argv[2])
print(f"loss {loss[-1]:.6g}, drift {np.max(np.abs(balance - balance[0])):.3g}, {flow.nfev} fields")
