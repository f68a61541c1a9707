"""Makes a graph of steps from the desired state and the observed facts, and runs the graph. Imports no driver."""
