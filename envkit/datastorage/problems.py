"""Problem documents (RFC 9457, formerly 7807): every answer that is not a success has this form."""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import JSONResponse

BASE = "https://kubernaut.ai/problems/"
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """Ends a request with a problem document; ``kind`` is the last part of the document's ``type``."""

    def __init__(
        self,
        status: HTTPStatus,
        kind: str,
        detail: str,
        *,
        field_errors: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.kind = kind
        self.detail = detail
        self.field_errors = field_errors
        self.headers = dict(headers or {})
        super().__init__(detail)

    def response(self, instance: str) -> JSONResponse:
        """Return the problem document as a response. ``instance`` is the path of the request."""
        content: dict[str, object] = {
            "type": BASE + self.kind,
            "title": self.kind.replace("-", " ").title(),
            "status": int(self.status),
            "detail": self.detail,
            "instance": instance,
        }
        if self.field_errors is not None:
            content["field_errors"] = dict(self.field_errors)
        return JSONResponse(content, self.status, headers=self.headers, media_type=MEDIA_TYPE)
