"""What an exact flow decides at an event: who crosses, who slides, who leaves."""
