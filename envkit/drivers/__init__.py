"""Does the work: lanes, clusters, runtimes, supply of images and programs, stores, probes, engines, databases."""
