"""Population rules as rules: what weights stand for a state, laws, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from faflow.analysis import law_rate
from faflow.feedback import Feedback
from faflow.networks import ACTIVATIONS, MLP
from faflow.observables import AbstractObservable
from faflow.population import (
    POPULATION_RULES,
    OrderParameters,
    Overlaps,
    PopulationGradient,
    PopulationLoss,
    order_of,
    population_loss,
)
from faflow.population.place import embed, square_root
from faflow.rules import weight_velocity
from faflow.tasks import Teacher, make_data, make_task

N, K, M = 9, 3, 2
NOTHING = make_data(np.zeros((1, N)), np.zeros(1))
FED = Feedback((jnp.asarray([[1.0, -0.5, 0.7]]),), "direct")


def network(hidden, activation="erf", readout=None):
    hidden = jnp.asarray(hidden, float)
    readout = np.linspace(-0.4, 0.8, len(hidden)) if readout is None else readout
    return MLP((hidden, jnp.asarray(readout, float)[None, :]), (), ACTIVATIONS[activation]())


def drawn(rows, seed):
    return np.random.default_rng(seed).standard_normal((rows, N)) / N**0.5


STUDENTS = {
    "generic": drawn(K, 0),
    "zero": np.zeros((K, N)),
    "a neuron of zero": drawn(K, 0) * np.array([[1], [0], [1]]),
    "equal neurons": drawn(1, 0).repeat(K, 0),
    "inside the teacher": np.array([[1.0, 0], [1, -1], [0, 2]]) @ drawn(M, 1),
}
TEACHERS = {"generic": drawn(M, 1), "equal neurons": drawn(1, 1).repeat(M, 0)}


def taught(rule, hidden, teacher=TEACHERS["generic"], activation="erf"):
    student = network(hidden, activation)
    return rule.taught(Teacher(network(teacher, activation), 0.1), student), student


@pytest.mark.parametrize("hidden", STUDENTS)
@pytest.mark.parametrize("teacher", TEACHERS)
def test_read_undoes_init(hidden, teacher):
    """Exactly W(0), also where the teacher does not see all of W, or W has not full rank."""
    rule, student = taught(PopulationGradient(), STUDENTS[hidden], TEACHERS[teacher])
    weights, _ = rule.read(rule.init(student, FED, NOTHING), FED, NOTHING)
    np.testing.assert_allclose(weights.weights[0], student.weights[0], atol=3e-8)
    np.testing.assert_array_equal(weights.weights[1], student.weights[1])
    if hidden == "generic":  # elsewhere roots of rounding, 1e-8, are left
        np.testing.assert_allclose(weights.weights[0], student.weights[0], atol=1e-14)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_read_has_the_overlaps_of_any_state(teacher):
    """Not only at the start: random weights of twice the size, by their overlaps alone; and on
    another number of inputs."""
    rule, _ = taught(PopulationGradient(), STUDENTS["generic"], TEACHERS[teacher])
    known, other = rule.known(), network(2 * drawn(K, 5))
    order = order_of(other, known)
    again = order_of(rule.read(order, FED, NOTHING)[0], known)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(order), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
    weights, same = map(np.asarray, embed(order, known, 31))
    np.testing.assert_allclose(weights @ weights.T, order.q, atol=1e-13)
    np.testing.assert_allclose(weights @ same.T, order.r, atol=1e-13)
    np.testing.assert_allclose(same @ same.T, known.t, atol=1e-13)


def test_square_root_and_its_derivative():
    """(X + h X')^2 = S + h S' to first order, also with equal eigenvalues."""
    rng = np.random.default_rng(0)
    for s in (np.eye(3), np.diag([1.0, 1.0, 4.0]), drawn(K, 2) @ drawn(K, 2).T):
        move = rng.standard_normal((3, 3))
        move = move + move.T
        root, moved = jax.jvp(square_root, (jnp.asarray(s),), (jnp.asarray(move),))
        np.testing.assert_allclose(root @ root, s, atol=1e-14)
        np.testing.assert_allclose(root @ moved + moved @ root, move, atol=1e-13)
    zero, still = jax.jvp(square_root, (jnp.zeros((2, 2)),), (jnp.zeros((2, 2)),))
    assert not np.any(zero) and not np.any(still)


@eqx.filter_jit
def field_and_slope(rule, student):
    """dW/dt as the rule has it, and by autodiff of the population loss."""
    known = rule.known()
    slope = jax.grad(lambda net: population_loss(order_of(net, known), known))(student)
    return weight_velocity(rule, student, Feedback(), NOTHING)[0], slope


def largest(tree):
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("activation", ["erf", "linear", "relu"])
def test_special_weights(activation):
    """Finite at zero weights, equal neurons and in the teacher's span; still where both nets are
    one (but for roots of rounding)."""
    for name, hidden in STUDENTS.items():
        rule, student = taught(PopulationGradient(), hidden, activation=activation)
        field, slope = field_and_slope(rule, student)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves((field, slope)))
        assert largest(field) > 1e-3 or name == "zero"
        if activation == "relu" and name == "a neuron of zero":
            assert not np.any(field.weights[0][1])  # phi'(0) = 0: it has no way out
    readout = np.array([-0.4, 0.8, 0.0])
    student = network(np.pad(TEACHERS["generic"], ((0, 1), (0, 0))), activation, readout)
    teacher = network(TEACHERS["generic"], activation, readout[:2])
    rule = PopulationGradient().taught(Teacher(teacher, 0.0), student)
    assert abs(float(PopulationLoss(rule.known())(student, Feedback(), NOTHING))) < 1e-15
    assert largest(field_and_slope(rule, student)) < 1e-7


@pytest.mark.parametrize("kind", POPULATION_RULES)
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_laws_of_the_flow_are_kept_and_not_claimed_of_steps(kind, activation):
    rule, student = taught(POPULATION_RULES[kind](), STUDENTS["generic"], activation=activation)
    fed = FED if rule.form == "direct" else Feedback()
    laws = rule.laws(student)
    wanted = {"layer-balance", "neuron-balance"}
    assert set(laws) == (wanted | {"matrix-balance"} if activation == "linear" else wanted)
    law = laws["matrix-balance" if activation == "linear" else "neuron-balance"]
    assert np.max(law_rate(law, rule, student, fed, NOTHING).relative) < 1e-13
    if activation == "linear":
        steps = eqx.tree_at(lambda r: r.eta, rule, jnp.asarray(0.1))
        assert steps.laws(student) == {}
        assert np.min(law_rate(law, steps, student, fed, NOTHING).relative) > 1e-3
    assert POPULATION_RULES[kind]().laws(network(STUDENTS["generic"], "erf")) == {}


def test_relu_in_steps_is_no_number():
    """Refused by `taught`; whoever sets eta afterwards gets nan, not the flow."""
    rule, student = taught(PopulationGradient(), STUDENTS["generic"], activation="relu")
    late = eqx.tree_at(lambda r: r.eta, rule, jnp.asarray(0.1))
    state = rule.init(student, Feedback(), NOTHING)
    move = eqx.filter_jit(late.velocity)(jnp.zeros(()), state, Feedback(), NOTHING)
    assert np.all(np.isnan(move.q))


def test_observables_are_those_of_the_teacher():
    rule, student = taught(PopulationGradient(), STUDENTS["generic"])
    fields = np.concatenate([STUDENTS["generic"], TEACHERS["generic"]])
    seen = Overlaps(rule.known())(student, Feedback(), NOTHING)
    np.testing.assert_allclose(seen, fields @ fields.T, atol=1e-15)
    assert isinstance(Overlaps(rule.known()), AbstractObservable)


def test_a_task_knows_its_teacher():
    """Whose outputs are the targets, but for the noise."""
    options = {"key": 0, "samples": 6, "widths": [5, 2, 1], "activation": "erf"}
    task, noisy = make_task("teacher", **options), make_task("teacher", **options, noise=0.5)
    for made, noise in ((task, 0.0), (noisy, 0.5)):
        assert made.teacher is not None and made.teacher.noise == noise
        clean = made.teacher.network(made.data.inputs)
        far = np.abs(np.asarray(clean) - np.asarray(made.data.targets)).max()
        assert far < 1e-14 if noise == 0 else far > 0.1
    assert make_task("gaussian", key=0, samples=3, features=2).teacher is None


LINEAR_TEACHER = Teacher(network(TEACHERS["generic"], "linear"), 0.0)
WIDE = MLP((jnp.zeros((K, N)), jnp.zeros((2, K))), (), ACTIVATIONS["erf"]())
DEEP = MLP((jnp.zeros((K, N)), jnp.zeros((K, K)), jnp.zeros((1, K))), (), ACTIVATIONS["erf"]())
BIASED = MLP((jnp.zeros((K, N)), jnp.zeros((1, K))), (jnp.zeros(K), jnp.zeros(1)), WIDE.activation)
ERF_TEACHER = Teacher(network(TEACHERS["generic"]), 0.0)


@pytest.mark.parametrize(
    ("student", "teacher", "words"),
    [
        (network(STUDENTS["generic"]), None, "teacher, but the task has none"),
        (network(STUDENTS["generic"], "tanh"), ERF_TEACHER, "network.activation is tanh"),
        (network(STUDENTS["generic"]), LINEAR_TEACHER, "task.activation linear"),
        (WIDE, ERF_TEACHER, "network.widths is [9, 3, 2]"),
        (DEEP, ERF_TEACHER, "network.widths is [9, 3, 3, 1]"),
        (BIASED, ERF_TEACHER, "no biases"),
        (network(STUDENTS["generic"]), Teacher(WIDE, 0.0), "a teacher of one hidden layer"),
        (network(np.zeros((8, N))), ERF_TEACHER, "network.widths.0 is 9"),
    ],
)
def test_what_can_not_be_taught(student, teacher, words):
    with pytest.raises(ValueError) as error:
        PopulationGradient().taught(teacher, student)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_what_can_not_be_learned():
    relu = network(STUDENTS["generic"], "relu")
    with pytest.raises(ValueError, match="no closed form for relu"):
        PopulationGradient(0.1).taught(Teacher(relu, 0.0), relu)
    for eta in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="finite and >= 0"):
            PopulationGradient(eta).taught(ERF_TEACHER, network(STUDENTS["generic"]))
    with pytest.raises(ValueError, match=r"rule\.taught"):
        PopulationGradient().init(network(STUDENTS["generic"]), FED, NOTHING)
    rule, student = taught(PopulationGradient(), STUDENTS["generic"])
    other = make_data(np.zeros((1, N)), np.zeros(1), "logcosh")
    with pytest.raises(ValueError, match="squared loss"):
        rule.init(student, FED, other)
    assert isinstance(rule.init(student, FED, NOTHING), OrderParameters)
