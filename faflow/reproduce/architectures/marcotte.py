"""Marcotte, Gribonval & Peyre 2025, "Transformative or Conservative? Conservation laws for ResNets
and Transformers".

The statements are taken in our words and by what they are about, not by their numbers. Blocks are
counted as a model's leaves, with all other weights, data and errors drawn anew (Prop. 4.3).
"""

from ..claim import Claim, Paper
from ..deferred import later

ROOM = __name__.rpartition(".")[0]
COUNTED = "proved for all sizes; counted at those shown, of up to 24 weights, in float64"


def _claim(
    name: str, place: str, claim: str, source: str, *, boundary: str = COUNTED, wider: str = "",
    narrower: str = "",
) -> Claim:  # fmt: skip
    scope = "wider" if wider else "narrower" if narrower else "as stated"
    return Claim(name, claim, source, scope, wider or narrower, later(ROOM, place), boundary)


PAPER = Paper("Marcotte, Gribonval & Peyre 2025", (
    _claim("linear", "blocks.linear_layers", "U Vᵀ keeps UᵀU − VᵀV: r(r + 1)/2 laws if r ≤ n + m, "
           "else (n + m)r − (n + m)(n + m − 1)/2, and no more", "shallow linear nets"),
    _claim("relu", "blocks.relu_layer", "one hidden ReLU layer keeps |u_k|² − |v_k|² (− b_k²) per "
           "unit, and no more", "shallow ReLU nets"),
    _claim("convolution", "blocks.convolution", "two convolutions with ReLU keep Σ|u_j|² − Σ|v_j|² "
           "per hidden channel, with strides and pooling, and no more",
           "shallow convolutional ReLU nets",
           boundary="kernels of 2 × 2, images of up to 6 × 6, without padding"),
    _claim("skip", "blocks.around_skip", "x + g(x) has the laws of g", "residual blocks"),
    _claim("attention", "blocks.one_head", "one head keeps QQᵀ − KKᵀ and VVᵀ − OᵀO, d₁(d₁ + 1) "
           "laws if d₁ ≤ 2 dim and there are two tokens or more, and no more", "attention layers"),
    _claim("heads", "blocks.many_heads", "H heads keep the same per head, d₁(d₁/H + 1) laws; "
           "whether there are more is open", "multi-head attention",
           boundary="H = 2 and 3, of up to 32 weights: evidence, and no proof",
           wider="No more were found: each rank has a gap of ten orders of magnitude."),
    _claim("read-out", "blocks.read_out", "under softmax cross-entropy the read-out keeps its sums "
           "over outputs: one per column, one of the biases, and no more", "cross-entropy layers",
           boundary="a read-out alone, on gaussian features and errors that sum to 0"),
    _claim("deep", "blocks.deep_nets", "laws of one block's weights in a deep residual net or "
           "transformer without norms are that block's", "Prop. 4.3 and its corollaries",
           boundary="two blocks deep, tokens of two numbers; ResNet-18 and the paper's transformer "
           "were not run",
           wider="A transformer of one attention and one MLP was counted as a whole too: the sum "
           "of its blocks' laws, and no more."),
    _claim("overlap", "blocks.across_skip", "two layers of different blocks, with the skip between "
           "them, keep nothing", "blocks that overlap a skip"),
    _claim("regions", "regions.scalar_blocks", "x + u σ(v x), then z + s σ(t z), scalars, ReLU σ: "
           "u² − v², s² − t², and one more where sgn t = sgn v = sgn u", "scalar example",
           boundary="states were sampled; between them regions are not excluded",
           wider="Where t v > 0, whatever the sign of u: that is what all sampled states with 3 "
           "laws have, and no other."),
    _claim("sign-flow", "signs.sign_flow", "the sign flow keeps nothing, but for n = m = r = 1: "
           "|U| − |V|", "Adam without memory",
           boundary="two linear layers, of up to 10 weights",
           narrower="For all states. With one output V's rows move by sgn(U) times the same: "
           "inside one orthant of sign(U) n(r − 1) differences of them are kept."),
    _claim("momentum", "momentum.time_dependent", "with momentum linear layers keep e^(ct/m) times "
           "angular momentum: r(r − 1)/2 laws from a start that moves, all 0 from rest",
           "momentum flows",
           boundary="two layers, r = 2 and 3; flows in numpy, by steps of order 4"),
    _claim("sgd", "sgd.of_steps", "under SGD laws drift by O(τ²) over a fixed number of steps; so "
           "they do with momentum and weight decay", "SGD; experiments",
           boundary="50 steps, τ from 1e-3 to 5e-3, on a pair of convolutions and one head with "
           "random data: ResNet-18 on CIFAR-10 and the paper's transformer were not run",
           narrower="With decay λ it is the distance from e^(−2λt) Q(0) that falls as τ²; from "
           "Q(0) itself it is τ."),
))  # fmt: skip
