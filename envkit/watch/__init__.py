"""Watches an environment while a command runs in it: one process reports what happens, and records it.

`timeline` is the record, one JSON object for each line, and `folder` the place where it is kept. `watching` polls,
`signs` selects what is reported, and `supervisor` is the process that runs both and cleans up after a killed wrapper.
"""
