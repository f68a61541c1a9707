"""Reports to CI services: groups, annotations, masks, variables for later steps, a job summary, JUnit.

`platform.Platform` is the protocol of a CI service. `github`, `gitlab` and `plain` implement it. `job.Job` reports one
`up` or `run`. `base.registry.CI_SERVICES` lists the services and the variable that identifies each.
"""
