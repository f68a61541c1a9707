"""A small stateless Gateway: it receives alerts by webhook and creates a RemediationRequest for each new one.

Its state is in Redis (the alerts of the last minutes) and in Kubernetes (the requests themselves). So several servers
can run side by side, and each can be restarted.
"""
