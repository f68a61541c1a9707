"""Settings that exclude the tests in the reader's repository, which are not this project's tests."""

collect_ignore = ["shop"]
