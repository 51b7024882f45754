"""Attention patterns, and the motion of hidden states that goes with them."""
