"""One flow: compiled, integrated, kept on disk meanwhile, certified."""
