"""[flow] block and devices: what can be taken in blocks of samples or over several devices."""

from jax.sharding import Mesh

from ..config.errors import ConfigError
from ..config.resolve import Resolved
from ..flow import samples_mesh
from ..rules import sums_over_samples

# Observables that need every sample's activations, or every pair of samples, at once.
WHOLE = ("delta-alignment", "kernel")
PAIRS = ("kernel",)  # and those that see rows which fill up a device


def split_of(resolved: Resolved) -> str | None:
    """The key that asks for blocks or devices; None if none does."""
    flow = resolved.flow
    return "flow.block" if flow.block else "flow.devices" if flow.devices > 1 else None


def check_split(resolved: Resolved, key: str | None, refused: tuple[str, ...] = WHOLE) -> None:
    """ConfigError unless the rule, the kinks and the observables allow what `key` asks for."""
    if key is None:
        return
    value = "on" if key.startswith("--") else getattr(resolved.flow, key.removeprefix("flow."))
    kind = resolved.rule.kind
    if not sums_over_samples(resolved.rule.cls):
        what = f"but the field of {kind} is not taken as a sum over samples"
        raise ConfigError(key, f"is {value}, {what}; remove it, or use a layerwise rule")
    if resolved.method == "exact":
        what = "but flow.kinks = 'exact' follows all pairs of neurons and samples at once"
        raise ConfigError(key, f"is {value}, {what}; remove it, or use kinks = 'plain'")
    for name in refused:
        if name in resolved.names:
            what = f"but observe.names lists '{name}', which takes all samples at once"
            raise ConfigError(key, f"is {value}, {what}; remove one of them")


def mesh_of(resolved: Resolved) -> Mesh | None:
    """The devices that the flow's samples are spread over, None if it is one.

    ConfigError if there are not as many, or if the flow can't be spread.
    """
    count = resolved.flow.devices
    try:
        mesh = samples_mesh(count)
    except ValueError as error:
        what = f"is {count}, {error}; lower it, or give the process more (CPU: XLA_FLAGS="
        raise ConfigError(
            "flow.devices", f"{what}--xla_force_host_platform_device_count={count})"
        ) from error
    if mesh is not None:
        check_split(resolved, "flow.devices" if count > 1 else "--distributed", PAIRS)
    return mesh
