"""Who may ask: only pages that know the token, from this machine, by the server's own address.

A web page of somebody else can send requests to 127.0.0.1, too. It does not know the token; its
``Origin`` gives it away; and a name of its own that it lets point to 127.0.0.1 (DNS rebinding)
stands in ``Host``.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Private"]

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]

_HEADERS = {
    b"cache-control": b"no-store",
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


class Private:
    """An ASGI application around another one, which answers to those who may ask.

    The token is the first part of the path; the application inside does not see it.

    Parameters
    ----------
    app : ASGI application
        What is protected.
    token : str
        The secret.
    port : int
        Where the server listens on 127.0.0.1.
    """

    def __init__(self, app: App, token: str, port: int) -> None:
        self._app = app
        self._token = token.encode()
        own = "" if port == 80 else f":{port}"  # browsers leave out HTTP's own port
        self._hosts = {f"{name}{own}".encode() for name in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_HEADERS.items()]
            await send(message)

        token, slash, rest = scope["path"][1:].partition("/")
        refused = self._refusal(scope, token.encode("utf8", "surrogateescape"))
        if refused is None and not slash:
            refused = 404, "not found"
        if refused is not None:
            await _answer(send_with_headers, *refused)
            return
        inner = {**scope, "path": f"/{rest}", "raw_path": None}
        await self._app(inner, receive, send_with_headers)

    def _refusal(self, scope: Message, token: bytes) -> tuple[int, str] | None:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        # guard: view-own-name
        if [value for name, value in headers if name == b"host"] not in [[h] for h in self._hosts]:
            return 421, "this server has another name"
        # guard: view-own-pages
        if any(name == b"origin" and value not in self._origins for name, value in headers):
            return 403, "not for pages of other servers"
        if not secrets.compare_digest(token, self._token):  # guard: view-token
            return 403, "the address must be complete, with the token that 'ndsharray view' printed"
        if scope["method"] != "GET":  # guard: view-looks-only
            return 405, "this server is for looking only"
        return None


async def _answer(send: Callable[[Message], Awaitable[None]], status: int, text: str) -> None:
    body = f"{text}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
