"""The step loop: one carry, stepped, stopped, recorded and cut into slices."""
