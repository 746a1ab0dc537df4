"""What was recorded, as variables with named dimensions and units."""
