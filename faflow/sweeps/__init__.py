"""Many flows of one config: planned, run in chunks that are durable, and gathered."""
