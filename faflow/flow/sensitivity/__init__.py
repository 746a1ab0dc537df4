"""Derivatives of flows: forward beside the flow, backward along its steps or against its time."""
