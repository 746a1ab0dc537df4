"""Bordelon & Pehlevan 2022: learning rules in wide networks, limit beside networks."""
