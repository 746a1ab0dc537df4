"""Measures of what is recorded as it is: series, accuracies, the user's own observables."""
