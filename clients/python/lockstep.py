"""Moves servos and stepper axes through a running Lockstep service.

One file, and nothing but Python's standard library: 3.9 or later, on the Pi itself (the service listens on a Unix
socket). Quantities are texts with their unit, as in the config: "10mm", "30deg", "50%", "500ms".

>>> from lockstep import Lockstep
>>> with Lockstep() as m:
...     m.move(x="10mm", y="5mm")["x"].position
10.0

The examples in this file are run by the project's tests, against a service with the axes `x` and `y`, the servo `pan`,
and the programs `there` and `long`. What the service takes and sends is in docs/protocol.md.

Where a service listens: `$LOCKSTEP_SOCKET`; else `/run/lockstep/control.sock`, where that is there; else
`lockstep/control.sock` in `$XDG_RUNTIME_DIR`, or in the folder for temporary files.

Stopping a motor by software is no safety function: motor power needs a switch of its own.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import select
import socket as sockets
import struct
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

__all__ = [
    "Busy",
    "ConfigRefused",
    "ConnectionLost",
    "Events",
    "Lease",
    "Lockstep",
    "LockstepError",
    "Move",
    "MoveFailed",
    "NoService",
    "NotAllowed",
    "Outcome",
    "PageMotor",
    "PageSignal",
    "PageView",
    "ProgramFailed",
    "Refused",
    "StatusPage",
    "TimedOut",
    "default_socket",
]

_VERSION = 1
# How long the service may take to answer what needs no motor to come to rest, in seconds.
_PATIENCE = 10.0
# Events about moves that are kept for who iterates over them later.
_KEPT = 1000


class LockstepError(Exception):
    """Anything that goes wrong here."""


class NoService(LockstepError):
    """Nobody listens on the socket.

    >>> Lockstep("/nowhere/control.sock")
    Traceback (most recent call last):
    lockstep.NoService: no service runs (nobody listens on /nowhere/control.sock): start one with `lockstep serve`, or `systemctl start lockstep`
    """


class NotAllowed(LockstepError):
    """This user may not write to the socket."""


class ConnectionLost(LockstepError):
    """The service has ended the connection, or does not answer."""


class Refused(LockstepError):
    """The service refused; nothing has moved because of this request.

    `code` is for programs (docs/protocol.md lists them), the message for people. `motors` is what it is about, `holder`
    who has them, `missing` the events that did not come, `errors` those of a config.

    >>> with Lockstep() as m:
    ...     try:
    ...         m.move(x="900mm")
    ...     except Refused as refused:
    ...         print(refused.code, refused.motors)
    limit ['x']
    """

    def __init__(self, reply: Mapping[str, Any]) -> None:
        super().__init__(reply.get("message", "the service refused, and does not say why"))
        self.code: str = reply.get("code", "internal")
        self.motors: List[str] = reply.get("motors", [])
        self.holder: Optional[str] = reply.get("holder")
        self.missing: List[str] = reply.get("missing", [])
        self.errors: List[str] = reply.get("errors", [])


class Busy(Refused):
    """Motors are moving, or another has a lease on them: see `holder`."""


class TimedOut(Refused, TimeoutError):
    """The time that was given ran out."""


class ConfigRefused(Refused):
    """A config with errors; the old one stays. `errors` has each with its place."""


_REFUSALS = {"busy": Busy, "timeout": TimedOut, "config": ConfigRefused}


@dataclass(frozen=True)
class Outcome:
    """What came of one motor in a move.

    `outcome` is `"reached"` (every edge was emitted; without feedback it can mean no more) or `"short"`, then `by` how
    much and the `cause`: `stopped`, `timeout`, `late`, `fault`, `limit`, `not-started`, `no-answer`, `lease-lost`.
    """

    outcome: str
    position: Optional[float]
    unit: str
    place: str = "unknown"
    steps: Optional[int] = None
    by: Optional[float] = None
    cause: Optional[str] = None

    @property
    def reached(self) -> bool:
        """Whether it is where it was sent."""
        return self.outcome == "reached"

    def __str__(self) -> str:
        if self.reached:
            return f"reached {self.position:g} {self.unit}"
        return f"short by {self.by or 0.0:g} {self.unit} ({self.cause})"

    @classmethod
    def _of(cls, reply: Mapping[str, Any]) -> "Outcome":
        known = {f.name for f in fields(cls)}
        return cls(**{key: value for key, value in reply.items() if key in known})


class MoveFailed(LockstepError):
    """A move ended, and not every motor is where it was sent.

    `result` is `failed`, `stopped` or `cancelled`, `outcomes` has every motor's `Outcome`, and `failed` those that fell
    short.

    >>> with Lockstep() as m:
    ...     going = m.start({"x": "150mm", "pan": "2deg"}, arrive="asap")
    ...     time.sleep(0.4)
    ...     places = m.stop("x")
    ...     try:
    ...         going.wait()
    ...     except MoveFailed as error:
    ...         print(sorted(error.failed), error.failed["x"].cause, error.outcomes["pan"].reached)
    ['x'] stopped True
    """

    def __init__(self, move: int, result: str, outcomes: Mapping[str, Outcome]) -> None:
        self.move = move
        self.result = result
        self.outcomes: Dict[str, Outcome] = dict(outcomes)
        self.failed = {motor: o for motor, o in outcomes.items() if not o.reached}
        words = ", ".join(f"{motor} fell {outcome}" for motor, outcome in self.failed.items())
        super().__init__(f"move {move}: {words or result}")

    def __reduce__(self) -> Tuple[Any, ...]:
        return MoveFailed, (self.move, self.result, self.outcomes)


class ProgramFailed(LockstepError):
    """A program ended otherwise than `done`: its `result` is `failed` or `stopped`."""

    def __init__(self, program: str, result: str, message: Optional[str] = None) -> None:
        self.program = program
        self.result = result
        super().__init__(f"the program {program}: {result}" + (f" ({message})" if message else ""))


def default_socket() -> str:
    """Where a service listens unless it was told otherwise; see the top of this file.

    >>> default_socket() == os.environ["LOCKSTEP_SOCKET"]
    True
    """
    told = os.environ.get("LOCKSTEP_SOCKET")
    if told:
        return told
    system = "/run/lockstep/control.sock"
    own = _own_socket()
    return own if not os.path.exists(system) and os.path.exists(own) else system


def _own_socket() -> str:
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir(), "lockstep", "control.sock")


def _stranger(path: str) -> Optional[int]:
    """The user whose folder a user's own socket lies in, where that is neither root nor this one."""
    if path != _own_socket():
        return None
    try:
        owner = os.lstat(os.path.dirname(path)).st_uid
    except OSError:
        return None
    return None if owner in (0, os.geteuid()) else owner


class _Connection:
    """Lines to the service and from it. Several threads may wait for their replies: one of them reads for all."""

    def __init__(self, path: str, name: Optional[str]) -> None:
        self.path = path
        self.events: List[Dict[str, Any]] = []
        # How often events were lost.
        self.lost = 0
        self._next = 1
        self._pending: set = set()
        self._replies: Dict[int, Dict[str, Any]] = {}
        self._buffer = bytearray()
        self._reading = False
        self._error: Optional[LockstepError] = None
        self._turn = threading.Condition()
        self._sending = threading.Lock()
        self._socket = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        stranger = _stranger(path)
        if stranger is not None:
            self._socket.close()
            raise NotAllowed(
                f"{os.path.dirname(path)} belongs to user {stranger}, who is neither root nor this user: "
                "name another socket"
            )
        try:
            self._socket.connect(path)
            own = os.path.basename(sys.argv[0]) if sys.argv and sys.argv[0] else "python"
            self.request({"do": "hello", "client": name or f"{own} (process {os.getpid()})"}, _PATIENCE)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NoService(
                f"no service runs (nobody listens on {path}): start one with `lockstep serve`, or "
                "`systemctl start lockstep`"
            ) from error
        except PermissionError as error:
            self._socket.close()
            raise NotAllowed(
                f"this user may not talk to the service on {path}: join its group "
                "(`sudo usermod -aG lockstep $USER`, then log in again)"
            ) from error
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        with self._turn:
            if self._error is None:
                self._error = ConnectionLost("this connection is closed")
            self._turn.notify_all()
        try:
            # Whoever reads in another thread wakes up.
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass
        self._socket.close()

    def request(self, request: Mapping[str, Any], patience: Optional[float]) -> Dict[str, Any]:
        """Asks, and waits for the reply: `patience` in seconds, None: as long as it takes."""
        with self._sending:
            number = self._next
            self._next += 1
            line = json.dumps({"v": _VERSION, "id": number, **request}, ensure_ascii=False, allow_nan=False)
            self._pending.add(number)
            try:
                self._socket.sendall(line.encode() + b"\n")
            except OSError as error:
                # It may have said why before it closed the connection: that is read below.
                unsent: Optional[OSError] = error
            else:
                unsent = None
        until = None if patience is None else time.monotonic() + patience
        try:
            reply = self._take(lambda: self._replies.pop(number, None), until)
        except ConnectionLost as lost:
            raise lost from unsent
        finally:
            self._pending.discard(number)
            self._replies.pop(number, None)
        if reply is None:
            raise ConnectionLost(f"the service does not answer `{request['do']}` within {patience:g} s")
        return _accepted(reply)

    def event(self, until: Optional[float]) -> Optional[Dict[str, Any]]:
        """The next event; None if there is none until then, on the monotonic clock."""
        return self._take(lambda: self.events.pop(0) if self.events else None, until)

    def event_of(self, move: int, lost: int) -> Optional[Dict[str, Any]]:
        """The next event about a move; None once any were lost: `lost` is how often they had been when it began."""

        def look() -> Optional[Dict[str, Any]]:
            for index, event in enumerate(self.events):
                if event.get("move") == move:
                    return self.events.pop(index)
            return {} if self.lost != lost else None

        return self._take(look, None) or None

    def drain(self) -> None:
        """Takes in what is there, and keeps the newest of it, so that the service need not drop any."""
        self._take(lambda: None, 0.0)
        with self._turn:
            if len(self.events) > _KEPT:
                del self.events[:-_KEPT]
                self.lost += 1

    def _take(self, look: Any, until: Optional[float]) -> Optional[Dict[str, Any]]:
        """Waits until `look` finds something. Whoever finds nobody reading reads, for the others, too."""
        with self._turn:
            looked = False
            while True:
                found = look()
                if found is not None:
                    return found
                if self._error is not None:
                    raise self._error
                left = None if until is None else max(until - time.monotonic(), 0.0)
                # What has come already is read, however short the time.
                if left == 0.0 and (looked or self._reading):
                    return None
                looked = True
                if self._reading:
                    self._turn.wait(left)
                    continue
                self._reading = True
                self._turn.release()
                try:
                    lines = self._read(left)
                finally:
                    self._turn.acquire()
                    self._reading = False
                    self._turn.notify_all()
                for line in lines:
                    self._sort(line)

    def _read(self, left: Optional[float]) -> List[bytes]:
        try:
            ready = select.poll()
            ready.register(self._socket, select.POLLIN)
            if not ready.poll(None if left is None else math.ceil(left * 1e3)):
                return []
            more = self._socket.recv(65536)
        except (OSError, ValueError) as error:
            self._error = self._error or ConnectionLost(f"the connection to the service: {error}")
            return []
        if not more:
            self._error = self._error or ConnectionLost("the service has ended the connection")
            return []
        self._buffer += more
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        return lines

    def _sort(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self._error = ConnectionLost("the service answered what is no JSON")
            return
        if "event" in message:
            self.lost += message["event"] == "lost"
            self.events.append(message)
        elif message.get("id") is None and message.get("closing"):
            # Such as too many clients.
            self._error = _REFUSALS.get(message.get("code"), Refused)(message)
        elif message.get("id") is None:
            # A line that it could not read, such as one that is too long: the oldest that has no reply yet.
            waiting = self._pending - self._replies.keys()
            if waiting:
                self._replies[min(waiting)] = message
        elif message["id"] in self._pending:
            self._replies[message["id"]] = message


def _accepted(reply: Dict[str, Any]) -> Dict[str, Any]:
    if reply.get("ok"):
        return reply
    raise _REFUSALS.get(reply.get("code", ""), Refused)(reply)


def _texts(what: str, to: Optional[Mapping[str, str]], named: Mapping[str, str]) -> Dict[str, str]:
    """The quantities of a request: from a dict, for names that are no Python names, and from keywords."""
    both = {**(to or {}), **named}
    if not both:
        raise TypeError(f"{what}: name at least one motor, such as x=\"10mm\"")
    for motor, value in both.items():
        if not isinstance(value, str):
            raise TypeError(f"{what}: {motor}={value!r} has no unit: write a text, such as \"10mm\" or \"30deg\"")
    return both


def _given(**some: Any) -> Dict[str, Any]:
    """The fields that were given, with the protocol's spelling."""
    return {key.replace("_", "-"): value for key, value in some.items() if value is not None}


class Move:
    """A move under way, from `Lockstep.start`. To iterate over it gives each motor and its outcome, as they complete:

    >>> with Lockstep() as m:
    ...     for motor, outcome in m.start({"x": "20mm", "pan": "5deg"}, arrive="asap"):
    ...         print(motor, outcome)
    pan reached 5 deg
    x reached 20 mm
    """

    def __init__(self, machine: "Lockstep", number: int, teller: _Connection, lost: int) -> None:
        self.number = number
        self._machine = machine
        self._teller: Optional[_Connection] = teller
        self._lost = lost

    def wait(self, timeout: Optional[str] = None) -> Dict[str, Outcome]:
        """Waits for its end, and gives each motor's outcome.

        Raises `MoveFailed` where a motor fell short, `TimedOut` if it has not ended within `timeout`.

        >>> with Lockstep() as m:
        ...     going = m.start(x="0mm")
        ...     going.wait("20s")["x"].reached
        True
        """
        return self._machine.wait(self.number, timeout)

    def cancel(self) -> None:
        """Takes it back, if it has not begun.

        >>> with Lockstep() as m:
        ...     m.start(x="5mm", after="60s").cancel()
        """
        self._machine._request("cancel", move=self.number)

    def retarget(self, to: Optional[Mapping[str, str]] = None, **motors: str) -> None:
        """Gives it other targets while it runs.

        >>> with Lockstep() as m:
        ...     going = m.start(x="100mm")
        ...     going.retarget(x="30mm")
        ...     going.wait()["x"].position
        30.0
        """
        self._machine._request("retarget", move=self.number, to=_texts("retarget", to, motors), **self._machine._shared())

    def __iter__(self) -> Iterator[Tuple[str, Outcome]]:
        told = set()
        while self._teller is not None:
            try:
                event = self._teller.event_of(self.number, self._lost)
            except ConnectionLost:
                event = None
            if event is None or event["event"] == "move-ended":
                self._teller = None
            elif event["event"] == "motor-ended":
                told.add(event["motor"])
                yield event["motor"], Outcome._of(event)
        # What the events did not say: some may have been lost, and the end is known to the service for a while.
        reply = self._machine._request("wait", patience=None, move=self.number)
        for motor, outcome in reply["outcome"]["motors"].items():
            if motor not in told:
                yield motor, Outcome._of(outcome)

    def __repr__(self) -> str:
        return f"<move {self.number}>"


class Lease:
    """Motors that nobody else may move, from `Lockstep.lease`. It ends with the `with` block, and with the connection."""

    def __init__(self, machine: "Lockstep", number: int, token: str) -> None:
        self.number = number
        self.token = token
        self._machine = machine
        self._open = True

    def renew(self) -> None:
        """Keeps a lease that has a heartbeat for another one."""
        self._machine._request("lease-renew", lease=self.number)

    def release(self) -> List[str]:
        """Gives the motors back. Says which are free now: those that no other lease of this client has."""
        if not self._open:
            return []
        self._open = False
        return self._machine._request("lease-release", lease=self.number)["free"]

    def environment(self) -> Dict[str, str]:
        """The environment for a command that shall share the motors: `subprocess.run(..., env=lease.environment())`."""
        return {**os.environ, "LOCKSTEP_LEASE": self.token, "LOCKSTEP_SOCKET": self._machine.socket}

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            self.release()
        except (ConnectionLost, Refused):
            # It is gone already: its end, not ours, is what the block's own error tells.
            pass


class Events:
    """What the service tells of itself, from `Lockstep.events`: dicts, as docs/protocol.md lists them. It has a connection
    of its own, so that it can be read in a thread of its own."""

    def __init__(self, path: str, name: Optional[str], topics: Tuple[str, ...], every: Optional[str]) -> None:
        self._connection = _Connection(path, name)
        try:
            asked = _given(do="subscribe", topics=list(topics) or None, every=every)
            self._connection.request(asked, _PATIENCE)
        except BaseException:
            self._connection.close()
            raise

    def next(self, timeout: Optional[float] = None) -> Optional[Dict[str, Any]]:
        """The next event; None if none comes within `timeout` seconds."""
        return self._connection.event(None if timeout is None else time.monotonic() + timeout)

    def close(self) -> None:
        """Ends the subscription."""
        self._connection.close()

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        """Until the service ends, or this is closed."""
        while True:
            try:
                event = self.next()
            except ConnectionLost:
                return
            if event is not None:
                yield event

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Lockstep:
    """A connection to the service.

    `name` is what others are told about who holds a motor. Several threads may use one connection: what stops motors is
    carried out at once, also while another thread waits for a move. If this process runs under
    `lockstep lease x,y -- COMMAND` it shares that lease.

    >>> with Lockstep(name="example") as m:
    ...     m.status()["state"]
    'ready'
    """

    def __init__(self, socket: Optional[str] = None, name: Optional[str] = None) -> None:
        self.socket = os.fspath(socket) if socket is not None else default_socket()
        self.name = name
        self._connection = _Connection(self.socket, name)
        self._teller: Optional[Events] = None

    def close(self) -> None:
        """Ends the connection, and with it the leases and jogs. Moves and programs go on."""
        self._connection.close()
        if self._teller is not None:
            self._teller.close()

    def __enter__(self) -> "Lockstep":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _request(self, do: str, patience: Optional[float] = _PATIENCE, **given: Any) -> Dict[str, Any]:
        return self._connection.request({"do": do, **_given(**given)}, patience)

    @staticmethod
    def _shared() -> Dict[str, str]:
        token = os.environ.get("LOCKSTEP_LEASE")
        return {"token": token} if token else {}

    # Moves

    def move(self, to: Optional[Mapping[str, str]] = None, **motors: str) -> Dict[str, Outcome]:
        """Moves motors, and waits until they are there; gives each one's `Outcome`.

        Options, beside the motors: `arrive` ("aligned": together along the straight line; "asap": each as soon as it can),
        `speed` (share of the limits), `timeout`, `on_fault` ("stop", "continue"), `if_busy` ("refuse", "queue",
        "replace") and `after` (how long to wait first). A motor whose name is one of these, or no Python name, goes
        into a dict: `m.move({"z-axis": "5mm"}, speed="50%")`.

        Raises `MoveFailed` where a motor fell short, `Refused` if it can't begin; then nothing has moved.

        >>> with Lockstep() as m:
        ...     m.move(x="12mm", pan="-3deg", speed="80%")["pan"].unit
        'deg'
        >>> with Lockstep() as m:
        ...     m.move(x=12)
        Traceback (most recent call last):
        TypeError: move: x=12 has no unit: write a text, such as "10mm" or "30deg"
        """
        return self._ended(self._request("move", patience=None, wait=True, **self._spec(to, motors)))

    def start(self, to: Optional[Mapping[str, str]] = None, **motors: str) -> Move:
        """Begins a move, with what `move` takes, and does not wait for it. Iterate over what it gives for the outcomes as
        they complete, or `wait()` for all.

        >>> with Lockstep() as m:
        ...     m.start(x="0mm", pan="0deg").wait()["x"].steps
        0
        """
        spec = self._spec(to, motors)
        teller = self._hears()
        lost = teller.lost
        return Move(self, self._request("move", **spec)["move"], teller, lost)

    def _hears(self) -> _Connection:
        """The connection on which moves are told of."""
        if self._teller is not None:
            try:
                self._teller._connection.drain()
                return self._teller._connection
            except ConnectionLost:
                self._teller.close()
        self._teller = Events(self.socket, self.name, ("moves",), None)
        return self._teller._connection

    def _spec(self, to: Optional[Mapping[str, str]], motors: Dict[str, str]) -> Dict[str, Any]:
        names = ("arrive", "speed", "timeout", "on_fault", "if_busy", "after")
        options = {name: motors.pop(name) for name in names if name in motors}
        return {"to": _texts("move", to, motors), **options, **self._shared()}

    @staticmethod
    def _ended(reply: Mapping[str, Any]) -> Dict[str, Outcome]:
        told = reply["outcome"]
        outcomes = {motor: Outcome._of(outcome) for motor, outcome in told["motors"].items()}
        if told["result"] != "done":
            raise MoveFailed(reply["move"], told["result"], outcomes)
        return outcomes

    def wait(self, move: int, timeout: Optional[str] = None) -> Dict[str, Outcome]:
        """Waits for the end of a move by its number, also another client's; see `Move.wait`."""
        return self._ended(self._request("wait", patience=None, move=move, timeout=timeout))

    def jog(self, duration: str, speed: Optional[Mapping[str, str]] = None, **motors: str) -> int:
        """Moves motors at a speed for `duration`; said again before, it goes on. Gives the move's number.

        It ends when this connection does. A servo that turns continuously has a share of its full speed: "50%".

        >>> with Lockstep() as m:
        ...     number = m.jog("200ms", x="10mm/s")
        ...     m.wait(number)["x"].position > 0
        True
        """
        return self._request("jog", speed=_texts("jog", speed, motors), **{"for": duration}, **self._shared())["move"]

    def pulse(self, to: Optional[Mapping[str, str]] = None, **servos: str) -> Dict[str, Outcome]:
        """Moves servos to pulse widths, "500us" to "2500us", also beyond what the config allows: to calibrate them.

        Until this connection ends they go by their pulses alone.

        >>> with Lockstep() as m:
        ...     m.pulse(pan="1510us")["pan"].reached
        True
        """
        return self._ended(self._request("pulse", patience=None, to=_texts("pulse", to, servos), **self._shared()))

    def hold(self, *motors: str) -> Dict[str, Dict[str, Any]]:
        """Brings motors (all, if none is named) to rest on their path; gives where they are. `resume` goes on.

        >>> with Lockstep() as m:
        ...     going = m.start(x="60mm")
        ...     at = m.hold()["x"]["position"]
        ...     m.resume()
        ...     going.wait()["x"].position
        60.0
        """
        return self._request("hold", patience=None, motors=list(motors) or None)["motors"]

    def resume(self, *motors: str) -> None:
        """Goes on with what is held."""
        self._request("resume", motors=list(motors) or None, **self._shared())

    def stop(self, *motors: str) -> Dict[str, Dict[str, Any]]:
        """Brings motors (all, and programs, too, if none is named) to rest, and drops the rest of their moves.

        Never needs a lease. Gives where they are.

        >>> with Lockstep() as m:
        ...     going = m.start(x="160mm")
        ...     at = m.stop("x")["x"]["place"]
        ...     try:
        ...         going.wait()
        ...     except MoveFailed as error:
        ...         print(at, error.result, error.failed["x"].cause)
        assumed stopped stopped
        """
        return self._request("stop", patience=None, motors=list(motors) or None)["motors"]

    def halt(self) -> Dict[str, Dict[str, Any]]:
        """Stops every motor at once, after the pulse that is out. Nothing moves until `clear`.

        >>> with Lockstep() as m:
        ...     places = m.halt()
        ...     try:
        ...         m.move(x="1mm")
        ...     except Refused as refused:
        ...         print(refused.code)
        ...     m.clear()
        stopped
        'ready'
        """
        return self._request("halt", patience=None)["motors"]

    def clear(self) -> str:
        """Lets the machine move again after a halt, a fault or an unclean end; gives its state. Look at it first."""
        return self._request("clear")["state"]

    def override(self, speed: str, move: Optional[int] = None, kind: Optional[str] = None) -> None:
        """Makes everything slower or faster, from now on: 1% to 200%. With the number of a `move`, that one alone.

        `kind` is `"jog"` (jogs alone) or `"feed"` (all but jogs).

        >>> with Lockstep() as m:
        ...     m.override("50%")
        ...     m.override("100%", kind="feed")
        ...     m.override("100%")
        """
        fields: Dict[str, Any] = {} if kind is None else {"class": kind}
        self._request("override", speed=speed, move=move, **fields, **self._shared())

    # Motors

    def status(self, *motors: str) -> Dict[str, Any]:
        """The state of everything at one instant, as docs/protocol.md describes it.

        >>> with Lockstep() as m:
        ...     m.status("x")["motors"]["x"]["kind"]
        'axis'
        """
        return self._request("status", motors=list(motors) or None)

    def position(self, motor: str) -> Optional[float]:
        """Where a motor is, in its unit; None if nobody knows.

        >>> with Lockstep() as m:
        ...     outcomes = m.move(y="4mm")
        ...     m.position("y")
        4.0
        """
        return self.status(motor)["motors"][motor]["position"]

    def enable(self, *motors: str) -> None:
        """Switches the drivers of axes on."""
        self._request("enable", motors=list(motors), **self._shared())

    def disable(self, *motors: str) -> None:
        """Switches the drivers of axes off. One that holds a load stays on, and this is refused."""
        self._request("disable", motors=list(motors), **self._shared())

    def release(self, *servos: str) -> None:
        """Ends the signal of servos: they go limp.

        >>> with Lockstep() as m:
        ...     outcomes = m.move(pan="1deg")
        ...     m.release("pan")
        ...     print(m.position("pan"))
        None
        """
        self._request("release", motors=list(servos), **self._shared())

    def set_position(self, to: Optional[Mapping[str, str]] = None, **axes: str) -> None:
        """Says where axes are; nothing moves.

        >>> with Lockstep() as m:
        ...     m.set_position(y="0mm")
        ...     m.position("y")
        0.0
        """
        self._request("set-position", to=_texts("set_position", to, axes), **self._shared())

    def save(self, *motors: str) -> int:
        """Saves where motors are (all whose position is known, if none is named); gives how many are saved.

        >>> with Lockstep() as m:
        ...     outcomes = m.move(x="3mm")
        ...     count = m.save("x")
        ...     outcomes = m.move(x="9mm")
        ...     m.return_(speed="50%")["x"].position
        3.0
        """
        return self._request("save", motors=list(motors) or None)["saved"]

    def return_(self, timeout: Optional[str] = None, speed: Optional[str] = None) -> Dict[str, Outcome]:
        """Takes the positions that were saved last, and moves there; with `timeout` it waits for some to be saved."""
        asked = {"timeout": timeout, "speed": speed, "wait": True, **self._shared()}
        return self._ended(self._request("return", patience=None, **asked))

    # Programs and the config

    def programs(self) -> Dict[str, bool]:
        """The config's programs, and whether each runs.

        >>> with Lockstep() as m:
        ...     m.programs()
        {'there': False, 'long': False}
        """
        return {p["name"]: p["running"] for p in self._request("program-list")["programs"]}

    def run_program(self, program: str, wait: bool = True, share: bool = False) -> None:
        """Runs a program of the config, and waits for its end. Raises `ProgramFailed` where that is not `done`.
        `share`: whatever motors it does not move just then others may have.

        >>> with Lockstep() as m:
        ...     m.run_program("there")
        """
        asked = {"program": program, "wait": wait, "share": share or None, **self._shared()}
        reply = self._request("program-run", patience=None if wait else _PATIENCE, **asked)
        if wait and reply.get("result") != "done":
            raise ProgramFailed(program, reply.get("result", "unknown"), reply.get("message"))

    def stop_program(self, program: Optional[str] = None) -> List[str]:
        """Stops a program, or all, and waits until their motors are at rest; gives those that ran.

        >>> with Lockstep() as m:
        ...     m.run_program("long", wait=False)
        ...     m.stop_program("long")
        ['long']
        """
        return self._request("program-stop", patience=None, program=program)["stopped"]

    def reload(self) -> Dict[str, Any]:
        """Has the service read its config again. Gives the motors that `changed`, and those `waiting` to come to rest.

        Raises `ConfigRefused`, with each of its `errors`, where the config has some: the old one stays.
        """
        return self._request("reload", patience=None)

    # Named events

    def trigger(self, event: str, data: Any = None) -> int:
        """Triggers a named event, with anything that is JSON as its data. Gives how many waits it completed.

        >>> with Lockstep() as m:
        ...     waits = m.trigger("door-open", {"n": 3})
        ...     m.wait_for("door-open", consume=True)
        [{'n': 3}]
        """
        return self._request("trigger", event=event, data=data)["completed"]

    def wait_for(self, *events: str, timeout: str = "10s", consume: bool = False) -> List[Any]:
        """Waits for all of these events; gives their data in this order. With `consume` no other who consumes gets them.

        Raises `TimedOut`, with those that are `missing`; then nothing was taken.

        >>> with Lockstep() as m:
        ...     try:
        ...         m.wait_for("never", timeout="50ms")
        ...     except TimedOut as error:
        ...         print(error.missing)
        ['never']
        """
        asked = {"events": list(events), "timeout": timeout, "consume": consume or None}
        return self._request("wait-events", patience=None, **asked)["data"]

    def kept_events(self) -> List[str]:
        """The named events that came and are kept for who waits for them later."""
        return self._request("events")["events"]

    def events(self, *topics: str, every: Optional[str] = None) -> Events:
        """What the service tells of itself from now on: `topics` among "moves", "motors", "events" and "machine"; without
        them all but "motors". `every` is the least time between two about motors.

        >>> with Lockstep() as m, m.events("events") as events:
        ...     waits = m.trigger("part-ready")
        ...     event = next(iter(events))
        ...     event["event"], event["name"]
        ('triggered', 'part-ready')
        """
        return Events(self.socket, self.name, topics, every)

    def rendezvous(self, name: str, parties: int, timeout: str = "10s") -> int:
        """Meets others: all go on together when the last has come. Gives how many came before this one.

        >>> with Lockstep() as m:
        ...     m.rendezvous("alone", parties=1)
        0
        """
        asked = {"name": name, "parties": parties, "timeout": timeout}
        return self._request("rendezvous", patience=None, **asked)["index"]

    def abort_rendezvous(self, name: str) -> None:
        """Breaks a rendezvous for all who wait at it."""
        self._request("rendezvous-abort", name=name)

    def reset_rendezvous(self, name: str) -> None:
        """Makes a rendezvous as new, also a broken one."""
        self._request("rendezvous-reset", name=name)

    # Leases

    def lease(self, *motors: str, timeout: Optional[str] = None, heartbeat: Optional[str] = None) -> Lease:
        """Takes motors: until the end of the `with` block nobody else may move them. With `timeout` it waits for its turn.

        It is lost when this connection ends, and with `heartbeat`, too, if it is not renewed in time: then its motors do
        what the config says. Raises `Busy`, naming the `holder`.

        >>> with Lockstep(name="paint") as m, Lockstep() as other:
        ...     with m.lease("x", "y"):
        ...         outcomes = m.move(x="6mm")
        ...         try:
        ...             other.move(x="7mm")
        ...         except Busy as busy:
        ...             print(busy.holder)
        paint
        """
        asked = {"motors": list(motors), "timeout": timeout, "heartbeat": heartbeat, **self._shared()}
        reply = self._request("lease-take", patience=None, **asked)
        return Lease(self, reply["lease"], reply["token"])

    # The status page

    def page(self) -> "StatusPage":
        """The service's status page, which is beside its socket: to be read as often as one likes."""
        folder, name = os.path.split(self.socket)
        stem = name[: -len(".sock")] if name.endswith(".sock") else name
        return StatusPage(os.path.join(folder, "status" if name == "control.sock" else stem + ".status"))


@dataclass(frozen=True)
class PageMotor:
    """A motor on the status page: `velocity` is its plan's, in unit/s; lateness is in nanoseconds.

    `owner` is who moves it: `none`, `client`, `program`, `start-up`, `park`, `procedure` or `stream`.
    """

    name: str
    unit: str
    position: Optional[float]
    velocity: float
    move: Optional[int]
    place: str
    fault: bool
    edges: int
    late_p99_ns: int
    late_max_ns: int
    owner: str = "none"


@dataclass(frozen=True)
class PageSignal:
    """An input, or an output that is no motor's, on the status page; `active` is None where nobody knows.

    `share` is an output's share of its power in percent, where it has one.
    """

    name: str
    active: Optional[bool]
    since_ns: int
    changes: int
    share: Optional[float]


@dataclass(frozen=True)
class PageView:
    """The status page at one instant: `at_ns` on the monotonic clock, as `time.monotonic_ns()` has it.

    `override_percent` is that of moves at their own speed, `rapid_percent` that of moves at top speed.
    """

    at_ns: int
    state: str
    override_percent: float
    moves: int
    motors: Dict[str, PageMotor]
    held: bool = False
    rapid_percent: float = 100.0
    jog_percent: float = 100.0
    inputs: Dict[str, PageSignal] = field(default_factory=dict)
    outputs: Dict[str, PageSignal] = field(default_factory=dict)


class StatusPage:
    """Where all motors are, from a page of memory that the service keeps, without asking it.

    It costs the service nothing, however often it is read. Its layout is in docs/protocol.md; that of release 0.1 is
    read, too.

    >>> with Lockstep() as m, m.page() as page:
    ...     outcomes = m.move(x="8mm")
    ...     time.sleep(0.3)
    ...     page.read().motors["x"].position
    8.0
    """

    _STATES = ("idle", "moving", "holding", "held", "stopping", "stopped", "halted", "fault")
    _PLACES = ("unknown", "assumed", "commanded", "unverified", "estimated", "restored")
    _OWNERS = ("none", "client", "program", "start-up", "park", "procedure", "stream")
    _HEAD = struct.Struct("<8sII")
    _HEADER_1 = struct.Struct("<QIIdQ")
    _HEADER_2 = struct.Struct("<QIIdddQII")
    _SECTION = struct.Struct("<IIII")
    _MOTOR = struct.Struct("<64s8sddQIIQQQI")
    _SIGNAL = struct.Struct("<64sI4xQQd")
    _ATTEMPTS = 10_000

    def __init__(self, path: str) -> None:
        try:
            with open(path, "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise NoService(f"no service runs: there is no status page {path}") from error
        except (OSError, ValueError) as error:
            raise LockstepError(f"the status page {path} can't be read: {error}") from error
        head = self._HEAD.unpack_from(self._map) if len(self._map) >= 64 else (b"", 0, 0)
        mark, self._version, self._length = head
        try:
            good = mark == b"LOCKSTEP" and self._version in (1, 2) and 64 <= self._length <= len(self._map)
            if not good or self._view(self._map[: self._length]) is None:
                raise ValueError
        except (ValueError, struct.error) as error:
            self._map.close()
            raise LockstepError(f"{path} is no status page of version 1 or 2") from error

    def read(self) -> PageView:
        """What it says now. Where `at_ns` stands still, the service has ended: it writes ten times a second at least."""
        for _ in range(self._ATTEMPTS):
            before = self._sequence()
            page = self._map[: self._length]
            # Far more instructions than a processor may reorder lie between these.
            if before % 2 == 0 and before == self._sequence():
                return self._view(page)
            time.sleep(0)
        raise LockstepError("the status page was being written each time that it was read")

    def _sequence(self) -> int:
        return struct.unpack_from("<Q", self._map, 16)[0]

    def _view(self, page: bytes) -> PageView:
        if self._version == 1:
            at, state, count, override, moves = self._HEADER_1.unpack_from(page, 24)
            entries = self._entries(page, 64, 128, count)
            word = self._word(self._STATES, state)
            held = word in ("holding", "held")
            return PageView(at, word, override, moves, self._motors(entries), held, override, override)
        at, state, held, feed, rapid, jog, moves, table, count = self._HEADER_2.unpack_from(page, 24)
        sections: Dict[int, List[bytes]] = {}
        for line in self._entries(page, table, self._SECTION.size, count):
            kind, first, size, number = self._SECTION.unpack(line)
            sections[kind] = self._entries(page, first, size, number)
        motors, signals = self._motors(sections.get(1, [])), [self._signals(sections.get(kind, [])) for kind in (2, 3)]
        return PageView(at, self._word(self._STATES, state), feed, moves, motors, bool(held), rapid, jog, *signals)

    @staticmethod
    def _entries(page: bytes, first: int, size: int, count: int) -> List[bytes]:
        if first + size * count > len(page):
            raise ValueError
        return [page[first + size * n : first + size * (n + 1)] for n in range(count)]

    def _motors(self, entries: List[bytes]) -> Dict[str, PageMotor]:
        motors = {}
        for entry in entries:
            # What another release has not, is 0; what it has beyond that is passed over.
            whole = entry[: self._MOTOR.size].ljust(self._MOTOR.size, b"\0")
            name, unit, position, velocity, move, place, fault, edges, p99, latest, owner = self._MOTOR.unpack(whole)
            name, place, owner = _text(name), self._word(self._PLACES, place), self._word(self._OWNERS, owner)
            known = None if math.isnan(position) else position
            fault, move = bool(fault), move or None
            motors[name] = PageMotor(name, _text(unit), known, velocity, move, place, fault, edges, p99, latest, owner)
        return motors

    def _signals(self, entries: List[bytes]) -> Dict[str, PageSignal]:
        signals = {}
        for entry in entries:
            whole = entry[: self._SIGNAL.size].ljust(self._SIGNAL.size, b"\0")
            name, state, since, changes, share = self._SIGNAL.unpack(whole)
            name, active = _text(name), {0: False, 1: True}.get(state)
            signals[name] = PageSignal(name, active, since, changes, None if math.isnan(share) else share)
        return signals

    @staticmethod
    def _word(words: Tuple[str, ...], number: int) -> str:
        return words[number] if number < len(words) else str(number)

    def close(self) -> None:
        """Gives the page back."""
        self._map.close()

    def __enter__(self) -> "StatusPage":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def _text(padded: bytes) -> str:
    return padded.split(b"\0", 1)[0].decode("utf-8", "replace")
