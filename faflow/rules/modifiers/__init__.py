"""Rules made of another: decay, rates, momentum, normalisation, and forecasts of its laws."""
