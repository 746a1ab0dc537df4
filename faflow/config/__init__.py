"""A TOML text becomes a checked config: sections, kinds, options, defaults, whose fault it is.

Here belongs what can be said of a config before anything of it is built: a key, its type, range
and default, what two sections owe each other, and the one line that names a fault. Nothing here
knows of a flow.
"""
