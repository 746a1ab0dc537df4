"""The small config that tests share: what is equal in all of them is compiled once a process."""

# A net, data and a rule, to which a test adds its flow.
NET = """
[network]
widths = [3, 2, 1]

[task]
kind = "gaussian"
samples = 2
features = 3

[rule]
kind = "feedback-alignment"
"""

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
