"""What is kept of a failure, and whose fault it was.

`look(session, run_folder, error=, code=, signum=) -> Findings` asks, `judge(findings) -> Verdict` decides, and
`collect(session, run_folder, seconds=, into=, findings=, verdict=) -> Path` keeps everything that may explain it.
None of the three raises for what it meets, and none heeds a cancellation: each has its own deadline.
"""

from envkit.evidence.findings import Findings as Findings
from envkit.evidence.gathering import collect as collect
from envkit.evidence.looking import look as look
from envkit.evidence.verdict import Verdict as Verdict
from envkit.evidence.verdict import judge as judge
