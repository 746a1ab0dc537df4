"""torchdiffeq's dopri5 on a ReLU flow: run by relu.py inside the environment of the peers.

`python relu_torch.py task.npz results.npz`: no faflow, no jax; the field is written out in torch.
"""

import sys
import time

import numpy as np
import torch
import torchdiffeq


class Capped(Exception):
    """Too many evaluations, or too much time."""


class Field:
    """Feedback alignment on a bias-free ReLU net, mean squared loss; weights as one vector."""

    def __init__(self, task: dict, evaluations: int, seconds: float):
        count = int(task["layers"])
        self.shapes = [task[f"W{l}"].shape for l in range(1, count + 1)]
        self.sizes = [rows * columns for rows, columns in self.shapes]
        self.start = torch.cat([torch.tensor(task[f"W{l}"]).ravel() for l in range(1, count + 1)])
        self.back = [torch.tensor(task[f"F{l}"]) for l in range(2, count + 1)]
        self.inputs, self.targets = torch.tensor(task["X"]), torch.tensor(task["y"])
        self.most, self.seconds = evaluations, seconds
        self.evaluations, self.t, self.begun = 0, 0.0, time.perf_counter()

    def __call__(self, t, flat):
        if self.evaluations >= self.most or time.perf_counter() - self.begun > self.seconds:
            raise Capped
        self.evaluations, self.t = self.evaluations + 1, float(t)
        parts = flat.split(self.sizes)
        weights = [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]
        post = [self.inputs]
        for weight in weights[:-1]:
            post.append(torch.relu(post[-1] @ weight.T))
        delta = (post[-1] @ weights[-1].T - self.targets) / len(self.inputs)
        moves = [delta.T @ post[-1]]
        for a, below, matrix in zip(post[:0:-1], post[-2::-1], self.back[::-1], strict=True):
            delta = (delta @ matrix) * (a > 0)
            moves.append(delta.T @ below)
        return -torch.cat([move.ravel() for move in moves[::-1]])


def solve(task: dict, tol: float) -> dict:
    field = Field(task, int(task["evaluations"]), float(task["seconds"]))
    times = torch.tensor([0.0, float(task["t1"])], dtype=torch.float64)
    flat, outcome = np.full(field.start.shape, np.nan), "completed"
    try:
        ends = torchdiffeq.odeint(field, field.start, times, rtol=tol, atol=tol, method="dopri5")
        flat, field.t = ends[-1].numpy(), float(times[-1])
    except Capped:
        outcome = "budget"
    except AssertionError:  # "underflow in dt"
        outcome = "step-underflow"
    seconds = time.perf_counter() - field.begun
    return {
        "flat": flat,
        "evaluations": field.evaluations,
        "seconds": seconds,
        "reached": field.t,
        "outcome": outcome,
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    task = dict(np.load(sys.argv[1]))
    results = {"version": f"torch {torch.__version__}, torchdiffeq {torchdiffeq.__version__}"}
    with torch.no_grad():
        for tol in task["tolerances"]:
            run = solve(task, float(tol))
            results |= {f"{tol:.0e}/{name}": value for name, value in run.items()}
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
