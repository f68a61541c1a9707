"""Watches an environment while a command runs in it: one process reports what happens, and records it.

`timeline` is the record, with one JSON object on each line, and `folder` names the record's files. `watch` polls,
`detectors` decides what is reported, and `supervisor` is the process that runs both. The wrapper is the process of
`envkit run`, which starts the command; if it is killed, the supervisor cleans up.
"""
