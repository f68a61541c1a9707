"""Reads a request's body within three limits: the body's bytes, the seconds, and the bytes of all requests together."""

import asyncio
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from envkit.datastorage.problems import Problem


async def read(request: Request, *, max_bytes: int, seconds: float) -> bytes:
    """Return the request's body.

    Raises Problem if the body is incomplete (400), too slow (408), too large (413) or not JSON (415), and Overloaded
    if all requests together hold too many bytes.
    """
    _refuse_other_media(request)
    try:
        async with asyncio.timeout(seconds):
            return await _within(request, max_bytes)
    except TimeoutError:
        detail = f"the body did not arrive within {seconds:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", detail) from None
    except ClientDisconnect:
        raise Problem(HTTPStatus.BAD_REQUEST, "incomplete-body", "the body did not arrive completely") from None


async def _within(request: Request, max_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise _too_large(max_bytes)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        request.state.ticket.hold(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_bytes: int) -> Problem:
    detail = f"the body is larger than {max_bytes} bytes"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "payload-too-large", detail)


def _refuse_other_media(request: Request) -> None:
    media = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media != "application/json" and not (media.startswith("application/") and media.endswith("+json")):
        detail = f"expected application/json, got {media}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
