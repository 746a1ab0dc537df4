"""What did a config's flow do, and did it keep its law?

`python scripts/config_flow.py [FIGURE [CONFIG]]`, CONFIG: a file or a shipped name. Prints how the
flow ended, and the law's rate along the field, which is rounding if the theorem holds, beside its
drift over the flow, which is of the size of rtol if the integrator is right too.
"""

import sys

import jax
import matplotlib.pyplot as plt
import numpy as np

import faflow

jax.config.update("jax_enable_x64", True)  # before any array is made

path = sys.argv[1] if len(sys.argv) > 1 else "config_flow.png"
config = sys.argv[2] if len(sys.argv) > 2 else "theorem1-linear"
result = faflow.run(config, store_result=False)
summary, records = result.summary, result.records["records"].to_dataset()
law = summary["laws"]["layer-balance"]
print(f"{summary['name']}: {summary['status']} at t = {summary['t_final']:g}")
print(f"loss {summary['loss']['initial']:.3g} -> {summary['loss']['final']:.3g}")
print(f"law: rate {max(law['rate_at_start']):.1e}, drift {max(law['relative_drift']):.1e}"
      f" at rtol {summary['solver']['rtol']:.0e}")  # fmt: skip

time, balance = records["time"].values, records["layer-balance"].values
change = np.abs(balance - balance[0]) / records["layer-balance_scale"].values.max(axis=0)
figure, (above, below) = plt.subplots(2, sharex=True, layout="constrained")
above.semilogy(time, records["loss"].values)
above.set(ylabel="loss", title=summary["name"])
for layer, values in enumerate(change.T, start=1):
    below.semilogy(time[1:], np.maximum(values[1:], 1e-17), label=f"layer {layer}")
below.set(xlabel="time", ylabel="|Q(t) - Q(0)| / scale")
below.legend()
figure.savefig(path, dpi=150)
