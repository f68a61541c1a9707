"""Writes what a CI service reads: groups, annotations, masks, variables for later steps, a summary, JUnit.

`base.ci_platform.platform` returns the name of this job's CI service. Each service is a module (`github`, `gitlab`,
`plain`) with a `platform`, registered in `base.registry.CI_SERVICES`. `job.Job` is one command of envkit in a job.
"""
