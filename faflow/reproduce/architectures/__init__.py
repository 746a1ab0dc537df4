"""Papers that count conservation laws of blocks of modern networks under the gradient flow."""
