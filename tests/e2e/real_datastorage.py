"""What is shown of the platform's own DataStorage on any environment; its stand-in checks all else from inside."""

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
    """Bring it up with an image that CI has loaded."""
    return box("up", *PROFILE, *words, KUBERNAUT_CI_ARTIFACT_TAG=tag)


def takes_the_place(box: Box, tag: str) -> dict[str, str]:
    """It came up, which its checks allow only where all is right; callers need the exported token. The variables."""
    said = up(box, tag).ok()
    assert f"localhost/kubernaut/datastorage:{tag} is here, skipped: " in said.err, said
    variables = box.variables()
    assert statuses(variables) == (401, 201)
    return variables


def statuses(variables: dict[str, str]) -> tuple[int, int]:
    """Of an event written without a token, and with the one that is exported as a file."""
    token = Path(variables["DATA_STORAGE_TOKEN_FILE"]).read_text()
    url = variables["DATA_STORAGE_URL"] + "/api/v1/audit/events"
    return write(url, ""), write(url, token)


def write(url: str, token: str) -> int:
    """The status of one event."""
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
    """A token that ends is renewed by `env`, and so is every copy of it inside the container that runs."""
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
    """A certificate in the wrong place: the service's own reason is shown."""
    said = up(box, tag, "--set", "services.datastorage.certificates=/etc/elsewhere")
    assert said.code == 3, said
    assert "no certificate after 3 tries: /etc/certs/tls.crt" in said.err
    assert "datastorage exited with 1" in said.err
