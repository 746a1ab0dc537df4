"""Laws are checked by their rates at states that they were not found at; lies are caught there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.discovery import Fields, FreshPlaces, discover, relative_rates
from faflow.discovery.polynomials import confirmed, find_polynomials
from faflow.feedback import Feedback
from faflow.networks import MLP, Model
from faflow.networks.models import TwoLayers
from faflow.rules import AbstractLayerwiseRule, Gradient, backward_sweep, model_laws
from faflow.rules.models import found_laws
from faflow.tasks import make_data


class HonestAbove(AbstractLayerwiseRule):
    """The gradient where W_1[0,0] > 0, elsewhere twice as fast in the first layer; it claims the
    gradient's laws for all states."""

    equation = "delta_1 = phi'(h_1) . (delta_2 W_2), doubled where W_1[0,0] < 0"
    source = "nobody"
    form = "none"

    def deltas(self, weights, feedback, trace, error):
        more = jnp.where(weights.weights[0][0, 0] > 0, 1.0, 2.0)
        first, last = backward_sweep(weights, tuple(weights.weights[1:]), trace, error)
        return more * first, last

    def laws(self, weights):
        return Gradient().laws(weights)


def fields_of(rule):
    rng = np.random.default_rng(0)
    weights = MLP(tuple(jnp.asarray(rng.normal(size=shape)) for shape in ((2, 2), (1, 2))))
    return Fields(rule, weights, Feedback()), weights


def test_a_law_that_holds_where_it_was_looked_at_and_not_elsewhere():
    fields, weights = fields_of(HonestAbove())
    seed = next(s for s in range(40) if np.any(FreshPlaces(fields, s).points[:, 0] < 0))
    found = discover(HonestAbove(), weights, Feedback(), degree=2, seed=seed)
    assert found.orbits[0].point[0] > 0  # where the rule is honest
    law = found.known[0]
    assert law.share < 1e-9 and law.rate > 1e-2 and not law.kept
    assert found.explained == 0 and found.texts == []
    honest = discover(Gradient(), weights, Feedback(), degree=2, seed=seed)
    assert all(law.kept and law.rate < 1e-12 for law in honest.known)
    assert len(honest.texts) == 3


def test_a_polynomial_that_is_none_is_left_out():
    fields, _ = fields_of(Gradient())
    fresh, rng = FreshPlaces(fields, 0), np.random.default_rng(0)
    laws = find_polynomials(fields, fields.random_states(rng, 1)[0], rng, 2)
    wrong = laws.coefficients.copy()
    wrong[1, np.argmax(np.abs(wrong[1]))] *= 1 + 1e-4
    kept = confirmed(laws._replace(coefficients=wrong), fields, fresh)
    np.testing.assert_array_equal(kept.coefficients, laws.coefficients[[0, 2]])
    assert kept.degrees == (2, 2)


def test_rates_against_finite_differences():
    """Q = x y^2 at (2, 3): grad Q = (9, 12); along (1, 1) the rate is 21 of 21, along (4, -3) 0."""
    slopes = np.array([[9.0, 12.0]])
    np.testing.assert_allclose(relative_rates(slopes, np.array([[1.0, 1.0]])), [1.0])
    np.testing.assert_allclose(relative_rates(slopes, np.array([[4.0, -3.0]])), [0.0])
    h = 1e-6
    along = lambda s: (2 + s * 4) * (3 + s * -1) ** 2  # noqa: E731
    rate = abs(along(h) - along(-h)) / (2 * h) / (9 * 4 + 12 * 1)
    found = relative_rates(slopes, np.array([[4.0, -1.0], [0.0, 0.0]]))
    np.testing.assert_allclose(found, [rate], rtol=1e-8)


@pytest.mark.parametrize("fresh", [3, 0])
def test_a_balance_that_fits_the_states_of_a_model_by_chance(monkeypatch, fresh):
    """With fewer states than quantities anything is a balance there; three others tell."""
    module = TwoLayers(2, 2, 2, key=jax.random.key(0), activation=jnp.tanh)
    data = make_data(np.eye(2), np.eye(2), "squared")
    monkeypatch.setattr(found_laws, "SPARE", -100)
    monkeypatch.setattr(found_laws, "FRESH", fresh)
    laws = model_laws(Gradient(), Model(module), Feedback(), data)
    assert ("layer-balance" in laws) is (fresh == 0)
