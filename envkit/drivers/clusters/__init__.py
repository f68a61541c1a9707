"""Makes the API server with kind or envtest, and creates the objects of manifests, namespaces and identities in it.

Each kind of cluster is a module with a `KIND`, registered in `base.registry.CLUSTERS`.
"""
