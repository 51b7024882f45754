"""Slow, obvious implementations of the definitions, and models whose answers are known on paper."""
