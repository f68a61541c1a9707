"""Makes the API server (kind or envtest), and brings manifests, namespaces and identities into it.

Each kind of cluster is a module with a `KIND`, registered in `base.registry.CLUSTERS`.
"""
