"""The reader's own repository holds tests, which are not this project's."""

collect_ignore = ["shop"]
