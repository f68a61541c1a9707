"""Where images and binaries come from: present, built here, a registry."""
