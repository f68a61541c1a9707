"""Where services run: containers (Docker and Podman, one class over one SDK), later processes and Kubernetes."""
