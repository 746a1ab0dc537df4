"""Sections become one problem, tried once at W(0).

Here belongs what it takes to make data, weights, feedback, rule and numerics of a config that is
checked, and whatever would fail on the way: shapes, numbers that are none, memory.
"""
