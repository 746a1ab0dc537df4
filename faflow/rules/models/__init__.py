"""Rules on models: whether they go back through one, their field there, and the laws they keep."""
