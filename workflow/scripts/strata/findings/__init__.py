"""What posts and papers found, asked of a model's results: a number with its interval, and a verdict."""
