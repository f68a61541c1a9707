"""A small stateless Gateway: alerts come in by webhook, and each new one becomes a RemediationRequest.

What it remembers is in Redis (which alerts it has seen lately) and in Kubernetes (the requests themselves), so any
number of servers can stand beside each other, and any of them can be restarted.
"""
