"""Linear probes, for tokens and for syntax."""
