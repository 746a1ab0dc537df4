"""A result folder: written whole or not at all, never over another, and its only reader.

Here belongs what a file on disk looks like, and how a run is recognised. Readers need no JAX.
"""
