"""Where the API server comes from, and what is put into it: manifests, namespaces, identities."""
