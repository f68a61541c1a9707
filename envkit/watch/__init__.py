"""What happens while a command runs in an environment: watched by one process, said at that moment, written down.

`timeline` is the data, one JSON object a line, and `folder` where it lies; `watching` looks, `signs` judges what is
worth saying, `supervisor` is the process that does both and cleans up after a wrapper that was killed.
"""
