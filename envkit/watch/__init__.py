"""What happens while a command runs in an environment: watched by one process, said at that moment, written down.

`timeline` is the data, one JSON object a line, and `folder` where it lies. After a command that failed, `verbs/run.py`
calls, before anything is taken down:

- `envkit.evidence.collect(session, folder: RunFolder, seconds: float) -> Path`: everything else that is worth keeping,
  within that many seconds whatever was cancelled; where it is. The supervisor calls it too when the wrapper was killed.
- `envkit.evidence.judge(folder: RunFolder, code: int | None) -> Verdict`: pure, from what lies there; `Verdict` has
  `fault` (`environment`, `test` or `none`), `reason`, `confidence` (`high`, `medium`, `low`), `render() -> str`.
"""
