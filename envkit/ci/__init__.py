"""Writes what a CI service reads: groups, annotations, masks, variables for later steps, a summary, JUnit.

`platform.platform` returns the CI service of this job. Each service is a module (`github`, `gitlab`, `plain`),
registered in `base.registry.CI_SERVICES`. `job.Job` is one command of envkit in a job.
"""
