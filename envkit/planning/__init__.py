"""Compare the desired environment with the facts, make a graph of steps, and run it. No driver is imported."""
