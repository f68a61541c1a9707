"""Makes the API server (kind or envtest), and creates manifests, namespaces and identities in it.

Each kind of cluster is a module with a `KIND`, registered in `base.registry.CLUSTERS`.
"""
