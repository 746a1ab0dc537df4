"""torchdiffeq and torchode on the flows of races.py, in the environment of the peers.

`python torch_peers.py task.npz results.npz`: no faflow, no jax; the field is written out in torch,
run eagerly as their users run it, in float64 on one thread.
"""

import sys
import time

import numpy as np
import torch
import torch.nn.functional as nn
import torchdiffeq
import torchode

ACTIVATIONS = {
    "Linear": (lambda h: h, lambda h, a: torch.ones_like(h)),
    "Tanh": (torch.tanh, lambda h, a: 1 - a * a),
    "Softplus": (nn.softplus, lambda h, a: torch.sigmoid(h)),
}


REPEATED = 0.3  # seconds of runs after which none is repeated


class Late(Exception):
    """The time is over."""


class Field:
    """The gradient (no feedback) or feedback alignment; weights, then biases, as one vector."""

    def __init__(self, task: dict):
        self.depth = int(task["layers"])
        names = [f"W{l}" for l in range(1, self.depth + 1)]
        names += [f"b{l}" for l in range(1, self.depth + 1)] if "b1" in task else []
        parts = [torch.tensor(task[name]) for name in names]
        self.shapes, self.sizes = [p.shape for p in parts], [p.numel() for p in parts]
        self.start = torch.cat([p.ravel() for p in parts])
        self.back = [torch.tensor(task[f"F{l}"]) for l in range(2, self.depth + 1) if "F2" in task]
        self.inputs, self.targets = torch.tensor(task["X"]), torch.tensor(task["Y"])
        self.phi, self.slope = ACTIVATIONS[str(task["activation"])]
        # Nobody multiplies by the identity: a factorisation is Z W.
        self.idle = torch.equal(self.inputs, torch.eye(*self.inputs.shape))
        self.softmax, self.weight = bool(task["softmax"]), float(task["weight"])
        self.seconds = float(task["seconds"])
        self.begin()

    def begin(self) -> None:
        self.evaluations, self.begun = 0, time.perf_counter()

    def __call__(self, t, flat: torch.Tensor) -> torch.Tensor:
        self.evaluations += 1
        if time.perf_counter() - self.begun > self.seconds:
            raise Late
        parts = [p.view(s) for p, s in zip(flat.split(self.sizes), self.shapes, strict=True)]
        weights, biases = parts[: self.depth], parts[self.depth :]
        pre, post = [], [self.inputs]
        for l, weight in enumerate(weights):
            idle = self.idle and l == 0 and not biases
            bias = biases[l] if biases else None
            pre.append(weight.T if idle else nn.linear(post[-1], weight, bias))
            post.append(self.phi(pre[-1]) if l < self.depth - 1 else pre[-1])
        out = torch.softmax(post[-1], dim=1) if self.softmax else post[-1]
        delta = self.weight * (out - self.targets)
        moves, shifts = [], []
        for l in reversed(range(self.depth)):
            moves.append(-delta.T if self.idle and l == 0 else -delta.T @ post[l])
            shifts.append(-delta.sum(dim=0))
            if l:
                back = self.back[l - 1] if self.back else weights[l]
                delta = (delta @ back) * self.slope(pre[l - 1], post[l])
        found = moves[::-1] + (shifts[::-1] if biases else [])
        return torch.cat([part.ravel() for part in found])


def by_torchdiffeq(field: Field, t1: float, tol: float) -> torch.Tensor:
    times = torch.tensor([0.0, t1], dtype=torch.float64)
    return torchdiffeq.odeint(field, field.start, times, rtol=tol, atol=tol / 100)[-1]


def by_torchode(field: Field, t1: float, tol: float) -> torch.Tensor:
    term = torchode.ODETerm(lambda t, y: field(t, y[0])[None])
    method = torchode.Dopri5(term=term)
    control = torchode.IntegralController(atol=tol / 100, rtol=tol, term=term)
    times = torch.tensor([[0.0, t1]], dtype=torch.float64)
    given = torchode.InitialValueProblem(y0=field.start[None], t_eval=times)
    return torchode.AutoDiffAdjoint(method, control).solve(given).ys[0, -1]


def measure(solve, field: Field, t1: float, tol: float) -> dict:
    seconds = []
    while not seconds or (len(seconds) < 3 and sum(seconds) < REPEATED):
        field.begin()
        start = time.process_time()
        try:
            end, why = solve(field, t1, tol).numpy(), ""
        except Late:
            end, why = np.full(field.start.shape, np.nan), f"over {field.seconds:g} s"
        except (AssertionError, RuntimeError) as error:
            end, why = np.full(field.start.shape, np.nan), type(error).__name__
        seconds.append(time.process_time() - start)
        if why:
            break
    return {"flat": end, "evaluations": field.evaluations, "seconds": min(seconds), "why": why}


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    task = dict(np.load(sys.argv[1]))
    field, t1, reference = Field(task), float(task["t1"]), task["reference"]
    results = {"slope": field(0.0, field.start).numpy()}
    solvers = {"torchdiffeq dopri5": by_torchdiffeq, "torchode dopri5": by_torchode}
    with torch.no_grad():
        for name in map(str, task["methods"]):
            solve = solvers[name]
            began = time.perf_counter()
            for tol in task["tolerances"]:
                found = measure(solve, field, t1, float(tol))
                results |= {f"{name}/{tol:.0e}/{key}": value for key, value in found.items()}
                gap = np.linalg.norm(found["flat"] - reference) / np.linalg.norm(reference)
                late = time.perf_counter() - began + found["seconds"] > task["budget"]
                if found["why"] or gap <= task["enough"] or late:
                    break
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
