"""zenoh as the engine of a bridge (https://zenoh.io, extra ``bridge``).

An offer has a liveliness token, a publisher and a queryable (``zenoh_keys``). Frames are put with
congestion control BLOCK: with DROP, zenoh discards large messages on links that have room.
"""

from __future__ import annotations

import argparse
import atexit
import json
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ..common import ToolError, require
from .engine import Engine, Offer, Outlet, Receive, Reply
from .place import Place
from .zenoh_keys import PREFIX, key_of, offer_of

__all__ = ["ZenohEngine"]

LISTEN = "tcp/127.0.0.1:7447"  # zenoh's port, on loopback
_ENDPOINT = re.compile(r"[a-z_]+/\S")
_ASK_SECONDS = 3600.0  # a lost link ends a question before, a slow one may take its time
_QUESTIONS = 64  # that wait for an answer at most
_LONGEST = 300  # characters of a message of zenoh's
_ENVELOPE = 1 << 20  # bytes of a message beside its payload, at most
# Bytes in the kernel's hands at most: what is there is old by the time a slow link has taken it.
# It also bounds bytes per round trip: 100 Mbit/s with 20 ms.
_SEND_BUFFER = 1 << 18
_RETRY = {"period_init_ms": 250, "period_max_ms": 2000, "period_increase_factor": 2}


class ZenohEngine(Engine):
    """A zenoh session that listens and connects where it is told, and nowhere else.

    Parameters
    ----------
    listen : sequence of str
        Endpoints, ``tcp/ADDRESS:PORT`` or ``tls/ADDRESS:PORT``. Default: those of `config`; else
        none with `connect`; else ``tcp/127.0.0.1:7447``.
    connect : sequence of str
        Endpoints of other bridges or of zenoh routers; tried until they answer.
    config : str, optional
        The path of a zenoh configuration file (JSON5): certificates, users, access control.

    Raises
    ------
    ToolError
        If zenoh is not installed, an endpoint or the file is wrong, or the port is taken.
    """

    HELP = "Carry arrays over zenoh: TCP or TLS, between two bridges or through routers."

    def __init__(
        self, listen: Sequence[str] = (), connect: Sequence[str] = (), config: str | None = None
    ) -> None:
        self._zenoh = zenoh = require("bridge", "zenoh")
        try:
            chosen = _configure(zenoh, list(listen), list(connect), config)
            self.listens = _endpoints(chosen, "listen")
            self.max_frame = int(_get(chosen, "transport/link/rx/max_message_size")) - _ENVELOPE
            self._session = zenoh.open(chosen)
        except (zenoh.ZError, OSError) as error:
            raise ToolError(f"bridge: {_reason(error)}", 2) from None
        self._answers = _Answers(zenoh.ZError)
        atexit.register(self.close)  # a session that is open keeps the interpreter from ending

    @classmethod
    def arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add where to listen and to connect."""
        group = parser.add_argument_group("where the other bridge is")
        group.add_argument(
            "--listen",
            action="append",
            default=[],
            metavar="ENDPOINT",
            help="wait for other bridges at tcp/ADDRESS:PORT or tls/ADDRESS:PORT "
            f"(default: {LISTEN}, or nowhere with --connect)",
        )
        group.add_argument(
            "--connect",
            action="append",
            default=[],
            metavar="ENDPOINT",
            help="connect to another bridge there",
        )
        group.add_argument(
            "--config", metavar="FILE", help="a configuration file of zenoh, for TLS"
        )

    @classmethod
    def of_options(cls, options: argparse.Namespace) -> Engine:
        """Return one as the command line says."""
        return cls(options.listen, options.connect, options.config)

    def offer(self, offer: Offer, answer: Callable[[Reply], None]) -> Outlet:
        """Declare publisher and queryable, and the token last."""
        try:
            return _ZenohOutlet(self._zenoh, self._session, key_of(offer), self._answers, answer)
        except self._zenoh.ZError as error:
            raise ConnectionError(_reason(error)) from None

    def watch(self, appeared: Callable[[Offer], None], vanished: Callable[[Offer], None]) -> None:
        """Subscribe to all tokens."""
        put = self._zenoh.SampleKind.PUT

        def notice(sample: Any) -> None:
            offer = offer_of(str(sample.key_expr))
            if offer is not None:
                (appeared if sample.kind == put else vanished)(offer)

        self._session.liveliness().declare_subscriber(
            f"{PREFIX}/**", self._at_once(notice), history=True
        )

    def take(self, offer: Offer, receive: Receive) -> Callable[[], None]:
        """Subscribe."""
        hand_on = self._at_once(lambda sample: _hand_on(sample, receive))
        try:
            subscriber = self._session.declare_subscriber(key_of(offer), hand_on)
        except self._zenoh.ZError as error:
            raise ConnectionError(_reason(error)) from None
        stop: Callable[[], None] = subscriber.undeclare
        return stop

    def ask(self, offer: Offer, receive: Receive) -> threading.Event:
        """Query the offer's key."""
        over = threading.Event()

        def take_reply(reply: Any) -> None:
            if reply.ok is not None:
                _hand_on(reply.ok, receive)

        try:
            self._session.get(
                key_of(offer),
                self._at_once(take_reply, over.set),
                timeout=_ASK_SECONDS,
                congestion_control=self._zenoh.CongestionControl.BLOCK,
            )
        except self._zenoh.ZError:  # the session is being closed
            over.set()
        return over

    def _at_once(self, call: Callable[[Any], None], over: Callable[[], None] | None = None) -> Any:
        """Return a handler in zenoh's own thread: the queue before one of Python's has no bound."""
        return self._zenoh.handlers.Callback(call, over, indirect=False)

    def close(self) -> None:
        """Close the session: all tokens vanish."""
        atexit.unregister(self.close)
        self._answers.close()
        self._session.close()


def _hand_on(sample: Any, receive: Receive) -> None:
    receive(b"" if sample.attachment is None else bytes(sample.attachment), sample.payload)


class _ZenohOutlet(Outlet):
    def __init__(
        self, zenoh: Any, session: Any, key: str, answers: _Answers, answer: Callable[[Reply], None]
    ) -> None:
        self.wanted = threading.Event()
        self._key, self._error = key, zenoh.ZError
        self._publisher = session.declare_publisher(
            key, congestion_control=zenoh.CongestionControl.BLOCK
        )
        direct = zenoh.handlers.Callback
        self._matching = self._publisher.declare_matching_listener(
            direct(self._match, indirect=False)
        )
        if self._publisher.matching_status.matching:
            self.wanted.set()  # never `clear`: the listener may know better by now
        self._queryable = session.declare_queryable(
            key, direct(lambda query: answers.add(self._key, query, answer), indirect=False)
        )
        self._token = session.liveliness().declare_token(key)

    def _match(self, status: Any) -> None:
        (self.wanted.set if status.matching else self.wanted.clear)()

    def send(self, head: bytes, payload: bytes | bytearray) -> None:
        try:
            self._publisher.put(payload, attachment=head)
        except self._error as error:
            raise ConnectionError(_reason(error)) from None

    def close(self) -> None:
        for declared in (self._token, self._queryable, self._matching, self._publisher):
            try:
                declared.undeclare()
            except self._error:
                pass  # the session is closed, and all of it has ended


def _configure(zenoh: Any, listen: list[str], connect: list[str], config: str | None) -> Any:
    """Return zenoh's configuration: nothing is found by itself, nothing listens unasked."""
    plain = zenoh.Config()
    try:
        made = zenoh.Config.from_file(config) if config else plain
    except zenoh.ZError as error:
        raise ToolError(f"bridge: {config}: {_reason(error)}", 2) from None
    for endpoint in [*listen, *connect]:
        if not _ENDPOINT.match(endpoint):
            raise ToolError(f"bridge: {endpoint!r} is no endpoint; give tcp/ADDRESS:PORT", 2)
    unsaid = _get(made, "listen/endpoints") == _get(plain, "listen/endpoints")
    if unsaid and not listen:
        listen = [] if connect or _endpoints(made, "connect") else [LISTEN]
    for key, value in {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "connect/retry": _RETRY,
        "connect/timeout_ms": -1,  # for ever
        "connect/exit_on_failure": False,
        "transport/link/tcp/so_sndbuf": _SEND_BUFFER,
        "transport/link/tls/so_sndbuf": _SEND_BUFFER,
    }.items():
        if _get(made, key) is None:  # the file's word counts
            made.insert_json5(key, json.dumps(value))
    made.insert_json5("transport/shared_memory/enabled", "false")
    if unsaid or listen:
        made.insert_json5("listen/endpoints", json.dumps(listen))
    if connect:
        made.insert_json5("connect/endpoints", json.dumps(connect))
    return made


def _get(config: Any, key: str) -> Any:
    return json.loads(config.get_json(key))


def _endpoints(config: Any, key: str) -> list[str]:
    """Return the endpoints of a configuration, which has one list, or one for each mode."""
    found = _get(config, f"{key}/endpoints")
    if isinstance(found, dict):
        found = found.get(_get(config, "mode") or "peer", [])
    return [str(endpoint) for endpoint in found]


def _reason(error: Exception) -> str:
    """Return zenoh's message as a line, without the places in its source."""
    line = re.sub(r" at /\S+\.rs:\d+", "", " ".join(str(error).split()))
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


class _Answers:
    """The thread that answers those who ask for the newest frame."""

    def __init__(self, gone: type[Exception]) -> None:
        self._gone = gone
        self._place: Place[tuple[str, Any, Callable[[Reply], None]]] = Place(_QUESTIONS)
        self._open = True
        self._thread = threading.Thread(target=self._run, name="bridge answers", daemon=True)
        self._thread.start()

    def add(self, key: str, query: Any, answer: Callable[[Reply], None]) -> None:
        """Add a question; too many drop the oldest."""
        self._place.put((key, query, answer), 1)

    def _run(self) -> None:
        while self._open:
            asked = self._place.take(1.0)
            if asked is not None:
                self._answer(*asked)

    def _answer(self, key: str, query: Any, answer: Callable[[Reply], None]) -> None:
        try:
            with query:  # the end of the block ends the query
                answer(lambda head, payload: query.reply(key, payload, attachment=head))
        except self._gone:
            pass  # the one who asked

    def close(self) -> None:
        """End the thread."""
        self._open = False
        self._place.close()
        self._thread.join()
