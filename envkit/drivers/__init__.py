"""Acts on this host, on engines and on clusters: starts services, gets images and programs, runs probes."""
