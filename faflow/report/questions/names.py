"""Which question a figure belongs to."""

LAW, CONVERGE, ALIGN, KINKS, COST = "law", "converge", "align", "kinks", "cost"
WEIGHTS, KERNELS, MORE = "weights", "kernels", "more"

# Beginnings of figures' keys; within a question the figures stand in this order.
PREFIXES = {
    LAW: ("drift", "members-drift"),
    CONVERGE: (
        "rates", "residual", "loss", "exponent", "test", "accuracy", "minimum-norm",
        "low-rank-limit", "exact-solution", "population-loss", "back-projected-residual", "speed",
        "members-fitted", "members-final",
    ),
    ALIGN: (
        "alignment_degrees", "target-alignment", "alignment", "delta-alignment_degrees",
        "delta-alignment", "members-last layer",
    ),
    KINKS: ("raster", "kinks", "changes", "sliding"),
    COST: ("steps", "rejected", "field_evaluations"),
    WEIGHTS: ("singular", "norms"),
    KERNELS: ("kernel", "map", "wide", "members-alignment of K", "members-smallest"),
}  # fmt: skip


def question_of(key: str) -> tuple[str, int]:
    """The question of a figure, and its place among the figures of it."""
    for question, beginnings in PREFIXES.items():
        for i, beginning in enumerate(beginnings):
            if key.startswith(beginning):
                return question, i
    return MORE, 0
