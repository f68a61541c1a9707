"""What a CI service understands: groups, annotations, masks, variables for later steps, a summary, JUnit.

`where.platform` says which one this is; `platforms` speaks its language; `job.Job` is one command of ours in one job.
"""
