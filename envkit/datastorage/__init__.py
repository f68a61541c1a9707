"""The reference DataStorage service: audit events over HTTP, kept in PostgreSQL, with a queue in Redis behind it.

The folder is copied into a container image and started by ``python -m envkit.datastorage``, so nothing in it imports
any other part of envkit. The way of a write:

    api -> events (parse, validate) -> recorder -> database            201: committed
                                            |____> deadletter -> drain  202: queued, written later, once by event id
"""
