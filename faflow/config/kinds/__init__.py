"""What the kinds are that a config names: as their code tells them, or the catalogue made of it."""
