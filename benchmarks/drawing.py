"""Work-precision figures: error of the weights against seconds and against field evaluations."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from goals import figure

# faflow in warm, thick lines; the others by family.
FAMILIES = {"faflow": ("#c1272d", "#e8743b", "#f2a541", "#7b1e3b", "#b34a9c"),
            "diffrax": ("#1f4e8c", "#5b9bd5"),
            "SciPy": ("#2e7d32", "#66a868", "#a5c8a0", "#1b5e20"),
            "LSODA": ("#00897b", "#4db6ac"), "CVODE": ("#212121", "#757575"),
            "torch": ("#6a4fb3", "#a08fd6"),
            "": ("#c8b900", "#9e9d24", "#827717")}  # fmt: skip
MARKERS = "osD^vP*X<>hdp"


def draw(rows: list[dict], folder: Path) -> list[Path]:
    """One figure per flow."""
    return [
        _figure(name, [row for row in rows if row["flow"] == name], folder)
        for name in dict.fromkeys(row["flow"] for row in rows)
    ]


def _figure(name: str, rows: list[dict], folder: Path) -> Path:
    canvas, panels = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    methods = [m for m in dict.fromkeys(row["method"] for row in rows) if "paired" not in m]
    used: dict[str, int] = {}
    for number, method in enumerate(methods):
        family = next(f for f in FAMILIES if method.startswith(f))
        colours = FAMILIES[family]
        colour = colours[used.setdefault(family, 0) % len(colours)]
        used[family] += 1
        ours = family == "faflow"
        for panel, key in zip(panels, ("seconds", "evaluations"), strict=True):
            points = [(row[key], row["error"]) for row in rows
                      if row["method"] == method and row.get("error") and row.get(key)]  # fmt: skip
            if not points:
                continue
            panel.loglog(
                *zip(*points, strict=True), marker=MARKERS[number % len(MARKERS)], color=colour,
                markersize=4.5 if ours else 3.5, linewidth=1.8 if ours else 0.9, label=method,
                zorder=3 if ours else 2,
            )  # fmt: skip
    panels[0].set(xlabel="CPU seconds", ylabel="relative error of all weights")
    panels[1].set(xlabel="field evaluations")
    for panel in panels:
        panel.grid(alpha=0.25)
    canvas.suptitle(name)
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside right center", fontsize=8, frameon=False)
    path = folder / figure(name)
    canvas.savefig(path, dpi=110)
    plt.close(canvas)
    return path
