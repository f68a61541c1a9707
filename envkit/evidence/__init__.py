"""Judges whether the environment or the test caused a failure, and keeps the evidence.

`examine(environment, paths, drivers, run_folder, ...) -> Findings` gathers facts, `judge(findings) -> Verdict` decides,
and `collect(environment, paths, drivers, run_folder, ...) -> Path` keeps everything that can explain the failure.
All three also work if the environment is broken. A cancellation does not stop them: each has its own deadline.
"""

from envkit.evidence.examination import examine as examine
from envkit.evidence.findings import Findings as Findings
from envkit.evidence.gathering import collect as collect
from envkit.evidence.verdict import Verdict as Verdict
from envkit.evidence.verdict import judge as judge
