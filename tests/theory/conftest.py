"""`measured`: asserts a bound on a prediction of the theory and notes the figure for docs' table.

`pytest tests --predictions docs/predictions.md` writes the table from what was measured in the run.
"""

from collections.abc import Callable

import pytest


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[..., None]:
    """measured(8, "Euler, ReLU: law identity", value, below=1e-13), or above=… for a control."""

    def note(number: int, what: str, value, *, below=None, above=None) -> None:
        value = float(value)
        bound = f"< {below:g}" if above is None else f"> {above:g}"
        entry = (number, what, value, bound, request.node.nodeid.split("[")[0])
        request.node.user_properties.append(("prediction", entry))
        if below is not None:
            assert value < below, f"{what}: {value:.3g}, not below {below:g}"
        if above is not None:
            assert value > above, f"{what}: {value:.3g}, not above {above:g}"
        assert below is not None or above is not None

    return note
