"""Watches an environment while a command runs in it: one process reports what happens, and records it.

`timeline` is the record, with one JSON object for each line, and `folder` names its files. `watch` polls, `detectors`
decides what is reported, and `supervisor` is the process that runs both and cleans up after a killed wrapper.
"""
