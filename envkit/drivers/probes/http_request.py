"""Sends one HTTP request of a probe to the port at which the host reaches a service."""

from envkit.config.probes import Target


def request(
    method: str, path: str, port: int, scheme: str, target: Target, *,
    body: str | None = None, headers: dict[str, str] | None = None,
) -> tuple[int, str]:  # fmt: skip
    """Send the request; return the status and the text of the answer, or 0 and the reason if there was no answer."""
    import http.client
    import ssl

    from envkit.base.deadline_http import Connection, ask

    # envkit does not verify the certificate: the probe tests only whether this port answers.
    unjudged = ssl._create_unverified_context() if scheme == "https" else None  # noqa: S323  see above
    connection = Connection(target.host, port, target.deadline(), unjudged)
    try:
        answer = ask(connection, method, path, body, headers, cut=True)
        return answer.status, answer.data.decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: a header that HTTP cannot hold
        return 0, f"no answer: {str(error) or type(error).__name__}"
    finally:
        connection.close()
