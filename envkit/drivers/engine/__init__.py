"""Docker and Podman: found, asked, and called over one SDK, each call within its deadline."""
