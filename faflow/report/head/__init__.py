"""The top of the page: what was run, and the verdicts, all of them read off the summaries."""
