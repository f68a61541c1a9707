"""Checks of the platform's own DataStorage from outside, for any environment.

The stand-in makes all other checks inside its container.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime
from pathlib import Path

from tests.support.box import Box, Said

PROFILE = ("--profile", "kubernaut-datastorage")
MOUNTED = "/var/run/secrets/kubernetes.io/serviceaccount/token"
BESIDE = "/etc/datastorage/kubeconfig.token"


def up(box: Box, tag: str, *words: str) -> Said:
    """Bring the environment up with an image that CI has loaded."""
    return box("up", *PROFILE, *words, KUBERNAUT_CI_ARTIFACT_TAG=tag)


def takes_the_place(box: Box, tag: str) -> dict[str, str]:
    """Check that DataStorage came up and requires the exported token; return the exported variables.

    It starts only if all of its own checks pass.
    """
    said = up(box, tag).ok()
    assert f"localhost/kubernaut/datastorage:{tag} is here, skipped: " in said.err, said
    variables = box.variables()
    assert statuses(variables) == (401, 201)
    return variables


def statuses(variables: dict[str, str]) -> tuple[int, int]:
    """Return the status of an event sent without a token, and of one sent with the token from the exported file."""
    token = Path(variables["DATA_STORAGE_TOKEN_FILE"]).read_text()
    url = variables["DATA_STORAGE_URL"] + "/api/v1/audit/events"
    return write(url, ""), write(url, token)


def write(url: str, token: str) -> int:
    """Send one event and return the response's status."""
    event = {
        "version": "1.0", "event_type": "test", "event_timestamp": datetime.now(UTC).isoformat(),
        "event_category": "gateway", "event_action": "test", "event_outcome": "success",
        "correlation_id": str(uuid.uuid4()), "event_data": {},
    }  # fmt: skip
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, json.dumps(event).encode(), headers), timeout=10
        ) as said:
            return int(said.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def renews_in_place(box: Box) -> None:
    """Check that `env` renews an expiring token, including each copy of it in the running container."""
    container = box.ids()["datastorage"]
    kept = box.state / box.name / "tokens" / "data-storage-sa"
    old = kept.read_text()
    assert [box.engine.execute(container, "cat", path) for path in (MOUNTED, BESIDE)] == [old, old]
    kept.write_text("ends now")
    variables = box.variables()
    new = kept.read_text()
    assert new not in (old, "ends now")
    assert [box.engine.execute(container, "cat", path) for path in (MOUNTED, BESIDE)] == [new, new]
    assert box.engine.execute(container, "stat", "-c", "%u:%g %a", MOUNTED).strip() == "65534:65534 600"
    assert box.ids()["datastorage"] == container
    assert statuses(variables) == (401, 201), "it asks the API server with the new one"


def tells_what_is_missing(box: Box, tag: str) -> None:
    """Check that envkit shows the service's own reason if a certificate is in the wrong place."""
    said = up(box, tag, "--set", "services.datastorage.certificates=/etc/elsewhere")
    assert said.code == 3, said
    assert "no certificate after 3 tries: /etc/certs/tls.crt" in said.err
    assert "datastorage exited with 1" in said.err
