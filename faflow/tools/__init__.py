"""What is done with kinds besides running them: check a rule, count laws, list, complete."""
