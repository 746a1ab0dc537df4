"""What is kept from one linear system to the next."""
