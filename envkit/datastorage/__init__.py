"""The reference DataStorage service: it receives audit events over HTTP and stores them in PostgreSQL.

It queues events in Redis while PostgreSQL fails. envkit copies this folder into a container image and starts it with
``python -m envkit.datastorage``, so no module in it imports another part of envkit. A write passes these modules:

    api -> events (parse, validate) -> recorder -> database            201: committed
                                            |____> deadletter -> drain  202: queued, written later, once by event id
"""
