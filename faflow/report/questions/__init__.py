"""What a theorist asks of a flow, a module each: its figures, its words, its tables."""
