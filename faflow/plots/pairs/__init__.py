"""Pairs (neuron, sample) of ReLU flows: when they cross h = 0, slide along it and leave."""
