"""The flow section, and how kinks are met."""
