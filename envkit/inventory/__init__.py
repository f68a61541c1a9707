"""What is there: observed now, and recorded by the last `up`."""
