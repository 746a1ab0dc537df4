"""The reproductions that count laws: cheap checks, the counterexample, and that lies fail."""

from fractions import Fraction
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.cli import main
from faflow.networks.models import SwiGLU
from faflow.reproduce import Check, Reading, comparison, open_report
from faflow.reproduce.architectures import by_hand, gate, momentum, sgd
from faflow.reproduce.architectures.case import BlockCase, Control, examined
from faflow.reproduce.architectures.modern import Placed
from faflow.reproduce.claim import Claim
from faflow.reproduce.report import judged
from faflow.reproduce.session import Session


@pytest.fixture
def session(tmp_path: Path):
    return Session(tmp_path, True, lambda text: None)


def claim(test, **more):
    return Claim("swiglu", "what it claims", "a layer", "as stated", "", test, "one size", **more)


def swiglu(law, laws=2):
    made = lambda key: SwiGLU(2, 2, 1, key=key)  # noqa: E731
    return BlockCase("2-2-1", made, (2,), laws, law)


TRUE, FALSE = by_hand.units("up", "down"), by_hand.units("gate", "down")


def test_a_cheap_check_holds_and_one_that_lies_about_a_law_fails(session, tmp_path: Path):
    def told(law, laws=2):
        case, control = swiglu(law, laws), Control("B in place of A", swiglu(law), FALSE)
        return judged(claim(lambda s: examined(s, "x", "SwiGLU", [case], [control])), session)

    kept = told(TRUE)
    assert kept.verdict == "holds" and (tmp_path / kept.figure).stat().st_size > 10_000
    wrong = told(FALSE, 3)  # another law, and one too many
    assert wrong.verdict == "fails"
    assert [measure.ok for measure in wrong.measures] == [False, True, False, True]


def test_the_counterexample_is_exact():
    """Again by finite differences of the loss, with gates written out here."""
    assert gate.rational_rate() == Fraction(9, 250) and gate.softmax_rate() == 0

    def loss(first, second):
        opened = 1 / (1 + np.exp(-np.array([first, second])))
        return 0.5 * (opened[1] / opened.sum()) ** 2

    h, z = 1e-5, np.log(3.0)
    rate = -sum(loss(h * a, z + h * b) - loss(-h * a, z - h * b) for a, b in np.eye(2)) / (2 * h)
    assert rate == pytest.approx(9 / 250, abs=1e-9)
    assert gate.flow_rate("sigmoid") == pytest.approx(9 / 250, abs=1e-16)
    assert abs(gate.flow_rate("softmax")) < 1e-16


@pytest.mark.parametrize(
    ("measures", "verdict"),
    [
        ([Reading("x", 0.036, {"max": 1e-12})], "refuted"),
        ([Reading("x", 0.036, {"max": 1e-12}), Reading("c", 1.0, {"min": 0.5}, True)], "refuted"),
        ([Reading("x", 0.036, {"max": 1e-12}), Reading("c", 0.1, {"min": 0.5}, True)], "fails"),
        ([Reading("x", 0.036, {"max": 1e-12}), Reading("y", 0.0, {"max": 1e-12})], "fails"),
        ([Reading("x", float("nan"), {"max": 1e-12})], "fails"),
        ([Reading("x", None, {"max": 1e-12})], "fails"),
        ([Reading("c", 1.0, {"min": 0.5}, True)], "fails"),
    ],
)
def test_what_is_false_as_printed_has_to_be_seen_to_fail(measures, verdict):
    check = Check("name", "claim", "", "as stated", "", tuple(measures), refuted=True)
    assert check.verdict == verdict == check.as_table()["verdict"]
    assert check.ok == (verdict == "refuted")


def test_the_false_theorem_is_shown_and_the_command_ends_well(tmp_path: Path, capsys):
    folder, page = tmp_path / "again", tmp_path / "page.html"
    arguments = ["tran-2026", "--only", "sigmoid-gate", "--out", str(folder)]
    assert main(["reproduce", *arguments]) == 0
    said = capsys.readouterr().out
    assert "refuted" in said and "0.0360  (!)" in said and "9/250" in said
    assert "boundary of the reproduction" in said and "the counterexample is exact" in said
    stored = open_report(folder)
    assert stored is not None and stored.ok and stored.checks[0].verdict == "refuted"
    assert stored.as_table()["counts"]["refuted"] == 1
    assert comparison(stored)[0]["faflow"].startswith("refuted: False as printed")
    assert main(["report", str(folder), "--out", str(page)]) == 0
    text = page.read_text("utf-8")
    assert "boundary of the reproduction" in text and "refuted" in text
    capsys.readouterr()
    assert main(["drift", str(folder)]) == 2
    assert "ran no flow" in capsys.readouterr().err


def test_rates_by_hand_against_derivatives():
    rng = np.random.default_rng(0)
    shapes = {"query": (4, 3), "key": (4, 3), "value": (4, 3), "output": (3, 4)}
    leaves, moves = ({n: rng.normal(size=s) for n, s in shapes.items()} for _ in range(2))
    laws = by_hand.both(by_hand.heads("query", "key", 2),
                        by_hand.heads("value", "output", 2, by_columns=True))  # fmt: skip

    def q(w):
        heads = [(w["query"][r] @ w["query"][r].T - w["key"][r] @ w["key"][r].T,
                  w["value"][r] @ w["value"][r].T - w["output"][:, r].T @ w["output"][:, r])
                 for r in (slice(0, 2), slice(2, 4))]  # fmt: skip
        return jnp.stack([jnp.stack(pair) for pair in heads])

    _, rates = jax.jvp(q, (leaves,), (moves,))
    terms = [laws({n: leaves[n] + s * moves[n] for n in shapes}) for s in (1e-6, -1e-6)]
    scale = np.max(sum(np.abs(a - b) / 2e-6 for a, b in zip(*terms, strict=True)))
    told = by_hand.relative_rate(laws, leaves, moves)
    assert told == pytest.approx(np.max(np.abs(rates)) / scale, rel=1e-8)


def test_slopes_are_fitted():
    assert sgd.slope_of([3 * sgd.TAUS**2, 7 * sgd.TAUS**2]) == pytest.approx(2.0)
    assert sgd.slope_of([sgd.TAUS, 5 * sgd.TAUS**2]) == pytest.approx(1.5)


def test_angular_momentum_decays_and_is_zero_from_rest():
    """In closed form where the gradient is 0: W' = W'(0) e^{-ct/m} from a start that moves."""
    moving, rest = (momentum.HeavyFlow((2, 3, 2), moves) for moves in (True, False))
    assert np.max(momentum.angular_drift(moving)) < 1e-11
    assert np.max(np.abs(rest.angular)) < 1e-13
    assert np.linalg.norm(moving.angular[0]) > 0.1
    decay = np.exp(-momentum.FRICTION * momentum.T1 / momentum.MASS)
    size = np.linalg.norm(moving.angular, axis=(1, 2))
    assert size[-1] / size[0] == pytest.approx(decay, rel=1e-10)


def test_places_are_added():
    found = Placed(eqx.nn.Identity())(jnp.zeros((2, 2)))
    np.testing.assert_allclose(found, [[0.0, 1.0], [np.sin(1), np.cos(0.1)]], atol=1e-15)
