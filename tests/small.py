"""The small config that tests share: what is equal in all of them is compiled once a process."""


def net(widths: list[int], samples: int, activation: str = "") -> str:
    """A net, gaussian data and feedback alignment, to which a test adds its flow."""
    phi = f'activation = "{activation}"\n' if activation else ""
    return f"""
[network]
widths = {widths}
{phi}
[task]
kind = "gaussian"
samples = {samples}
features = {widths[0]}

[rule]
kind = "feedback-alignment"
"""


NET = net([3, 2, 1], 2)

VALID = f"""
name = "small"
{NET}
[flow]
t1 = 0.5
saves = 3

[observe]
names = ["loss", "laws"]

[expect]
"laws.layer-balance.relative_drift" = {{ max = 1e-6 }}
"""

# In steps of Heun's method and without bounds: the smallest program, for tests that run it in
# processes of their own, or with a rule of their own each time.
LIGHT = f"""
name = "small"
{NET}
[flow]
t1 = 0.5
saves = 3
solver = "heun"
step = 0.05

[observe]
names = ["loss", "laws"]
"""
