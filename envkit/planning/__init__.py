"""From what is wanted and what is there to a graph of steps, and the run of that graph. Imports no driver."""
