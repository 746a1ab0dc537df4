"""Who does the work of a sweep: members in batches, tasks in a queue, processes that take them."""
