"""What does the work: runtimes, clusters, probes, databases, and where images and programs come from."""
