"""The reference DataStorage service: it takes audit events over HTTP and stores them in PostgreSQL.

It queues events in Redis while PostgreSQL fails. envkit copies this folder into a container image and starts it by
``python -m envkit.datastorage``, so nothing in it imports any other part of envkit. A write takes this way:

    api -> events (parse, validate) -> recorder -> database            201: committed
                                            |____> deadletter -> drain  202: queued, written later, once by event id
"""
