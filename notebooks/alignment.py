"""Sliders over feedback alignment: what the law, the alignment and the exponent do.

`marimo edit notebooks/alignment.py`, or `marimo run` for the sliders alone; `pip install
'.[notebook]'`. It is a plain Python file: `python notebooks/alignment.py` runs it once.
"""

import marimo

app = marimo.App(width="medium", app_title="faflow: alignment")


@app.cell
def _():
    import jax
    import marimo as mo

    jax.config.update("jax_enable_x64", True)  # faflow changes no setting of JAX by itself

    import matplotlib.pyplot as plt
    import numpy as np

    import faflow

    return faflow, mo, np, plt


@app.cell
def _(mo):
    mo.md(r"""
    # Feedback alignment, by hand

    A network learns by feedback alignment: the backward pass uses random $F_{l+1}$ in place of
    $W_{l+1}$. Under the exact flow

    $$ Q_l = \tfrac12 \lVert W_l \rVert^2 - k\,\langle W_{l+1}, F_{l+1} \rangle $$

    does not change (Robertson & Koyejo 2023, Theorem 1; $k$ is the degree of the activation), so
    weights that grow have to turn towards the feedback. Move the sliders. *tanh* has no $k$: its
    $Q$, with $k = 1$, moves. A new depth or activation is compiled first, which takes seconds.
    """)
    return


@app.cell
def _(mo):
    scale = mo.ui.slider(
        0.2, 4.0, 0.1, value=1.0, label="feedback scale", show_value=True, debounce=True
    )
    start = mo.ui.slider(
        0.1, 2.0, 0.1, value=0.5, label="initial weights", show_value=True, debounce=True
    )
    depth = mo.ui.slider(1, 4, 1, value=2, label="hidden layers", show_value=True, debounce=True)
    activation = mo.ui.dropdown(
        ["linear", "relu-squared", "tanh"], value="linear", label="activation"
    )
    seed = mo.ui.slider(0, 20, 1, value=0, label="seed", show_value=True, debounce=True)
    mo.vstack([scale, start, depth, activation, seed])
    return activation, depth, scale, seed, start


@app.cell
def _(activation, depth, faflow, scale, seed, start):
    table = {
        "name": "sliders",
        "seed": seed.value,
        "network": {
            "widths": [10, *[16] * depth.value, 1],
            "activation": activation.value,
        },
        "init": {"kind": "gaussian", "scale": start.value},
        "task": {"kind": "gaussian", "samples": 8, "features": 10, "reduction": "mean"},
        "rule": {"kind": "feedback-alignment"},
        "feedback": {"kind": "gaussian", "scale": scale.value},
        "flow": {"t1": 200.0, "saves": 201, "spacing": "log", "first": 1e-2, "rtol": 1e-9,
                 "tail": True, "stop": {"residual": 1e-9}},
        "observe": {
            "names": ["loss", "residual", "laws", "alignment", "exponent"],
            "controls": ["layer-balance"],
        },
    }  # fmt: skip
    result = faflow.run(table, store_result=False)
    return (result,)


@app.cell
def _(mo, result):
    summary = result.summary
    law, exponent = summary["laws"]["layer-balance"], summary["exponent"]

    def number(value):
        return "—" if value is None else f"{value:.4g}"

    rate = max(abs(rate) for rate in law["rate_at_start"])
    rows = {
        "how it ended": f"{summary['status']} at t = {number(summary['t_final'])}",
        "the law": f"**{'kept' if law['kept'] else 'broken'}**: rate along the field "
        f"{number(rate)}, drift over the flow {number(max(law['relative_drift']))}",
        "angles of $W$ and $F$ at the end": ", ".join(
            f"{angle:.1f}°" for angle in summary["alignment"]["degrees"]
        ),
        "exponent": f"fitted {number(exponent['rate'])} ({exponent['status']}), predicted "
        f"{number(exponent['predicted'])} ({exponent['predicted_status']})",
    }
    lines = [f"| {name} | {text} |" for name, text in rows.items()]
    answer = mo.md("\n".join(["| | |", "|---|---|", *lines]))
    answer
    return answer, exponent


@app.cell
def _(exponent, np, plt, result):
    records = result.records["records"].to_dataset()
    t = records["time"].values
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    q = records["layer-balance"].values
    scales = records["layer-balance_scale"].values.max(axis=0)
    drift = np.abs(q - q[0]) / scales
    for layer in range(drift.shape[1]):
        axes[0].loglog(t[1:], np.maximum(drift[1:, layer], 1e-17), label=f"l = {layer + 1}")
        axes[1].semilogx(
            t[1:], records["alignment_cosine"].values[1:, layer], label=f"l = {layer + 1}"
        )
    axes[2].semilogy(t, records["residual"].values, label="residual")
    if exponent["predicted"] is not None and exponent["predicted_status"] == "ok":
        last = records["residual"].values[-1]
        axes[2].semilogy(
            t, last * np.exp(-exponent["predicted"] * (t - t[-1])), "--", label="predicted rate"
        )
        axes[2].set_ylim(0.3 * last, 3 * records["residual"].values.max())
    names = ("|Q(t) − Q(0)| / scale", "cos(W, F)", "‖e‖")
    for axis, name in zip(axes, names, strict=True):
        axis.set(xlabel="time", title=name)
        axis.legend(fontsize="small")
    figure
    return (figure,)


@app.cell
def _(mo):
    mo.md(r"""
    ## Rules compared, on models too

    The same data and first weights under several rules. A model is any equinox Module; its laws
    are found, not stated.
    """)
    return


@app.cell
def _(mo):
    model = mo.ui.dropdown(
        ["mlp-module", "residual-blocks", "two-layers"], value="mlp-module", label="model"
    )
    rules = mo.ui.multiselect(
        ["gradient", "feedback-alignment", "uniform-sign-symmetry"],
        value=["gradient", "feedback-alignment"],
        label="rules",
    )
    mo.hstack([model, rules])
    return model, rules


@app.cell
def _(faflow, model, rules, seed):
    def compared(rule):
        options = {"hidden": 6} if model.value == "two-layers" else {}
        return faflow.run(
            {
                "name": "compared",
                "seed": seed.value,
                "network": {"kind": model.value, **options},
                "task": {"kind": "gaussian", "samples": 6, "features": 5, "reduction": "mean"},
                "rule": {"kind": rule},
                "flow": {"t1": 5.0, "saves": 26, "solver": "heun", "rtol": 1e-4},
                "observe": {"names": ["loss", "laws"]},
            },
            store_result=False,
        )

    flows = {rule: compared(rule) for rule in rules.value}
    return (flows,)


@app.cell
def _(flows, mo, plt):
    def kept(result):
        told = result.summary.get("laws", {}).items()
        return ", ".join(name for name, law in told if law["kept"]) or "none"

    comparison, _axis = plt.subplots(figsize=(5, 3), layout="constrained")
    for _rule, _one in flows.items():
        _axis.semilogy(_one.times, _one.values("loss"), label=_rule)
    _axis.set(xlabel="time", ylabel="loss")
    if flows:
        _axis.legend(fontsize="small")
    ends = {rule: one.summary["loss"]["final"] for rule, one in flows.items()}
    table_of_rules = mo.md(
        "\n".join(
            ["| rule | final loss | laws kept |", "|---|---|---|"]
            + [f"| {rule} | {ends[rule]:.4g} | {kept(one)} |" for rule, one in flows.items()]
        )
    )
    mo.vstack([table_of_rules, comparison])
    return comparison, ends, table_of_rules


if __name__ == "__main__":
    app.run()
