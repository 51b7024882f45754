"""Causal tracing: corrupt a prompt's subject, restore one thing at a time, see what becomes of the answer."""
