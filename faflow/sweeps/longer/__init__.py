"""Sweeps that go on to a later time."""
