"""A TCP proxy of our own, between a process and a broker or between dispatch and a receiver: cuts, delays, drips, swallows."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass, field

PRODUCE = 0
"""Kafka's number of the request to append records"""
_CHUNK = 64 * 1024
_PAUSE = threading.Event()


def _reset(connection: socket.socket) -> None:
    """Close a connection so that the other side sees a reset."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()


@dataclass
class Proxy:
    """Forwards to `target` until it is told otherwise. Its counters tell what it did."""

    target: tuple[str, int]
    port: int = 0
    tls: ssl.SSLContext | None = None
    """what callers are shown; the target is spoken to in the clear"""
    cut: bool = False
    """no connection stands, none is taken"""
    silent: bool = False
    """connections stand, and nothing passes"""
    delay_seconds: float = 0.0
    """before each piece, both ways"""
    bytes_per_second: float = 0.0
    """of answers; 0: as fast as they come"""
    swallow_produce_answers: int = 0
    """so many answers to produce requests are still to be lost, each with its connection"""
    swallow_answers: int = 0
    """so many connections still end with a reset in place of the first answer"""
    cuts: int = 0
    swallowed: int = 0
    accepted: int = 0
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> Proxy:
        """Listen on 127.0.0.1."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def cut_now(self) -> None:
        """Cut every connection and take no further one."""
        self.cut = True
        with self._lock:
            standing, self._open = self._open, []
        self.cuts += len(standing) // 2
        for one in standing:
            _reset(one)

    def heal(self) -> None:
        """Forward again as if nothing had been."""
        self.cut = self.silent = False
        self.delay_seconds = self.bytes_per_second = 0.0
        self.swallow_answers = self.swallow_produce_answers = 0

    def close(self) -> None:
        """End it."""
        self.cut_now()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            if self.cut:
                self.cuts += 1
                _reset(caller)
            else:
                threading.Thread(target=self._connect, args=(caller,), daemon=True).start()

    def _connect(self, caller: socket.socket) -> None:
        try:
            if self.tls is not None:
                caller.settimeout(5)
                caller = self.tls.wrap_socket(caller, server_side=True)
                caller.settimeout(None)
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            _reset(caller)
            return
        server.settimeout(None)
        with self._lock:
            self._open += [caller, server]
        self.accepted += 1
        asked: dict[int, int] = {}
        threading.Thread(target=self._requests, args=(caller, server, asked), daemon=True).start()
        self._answers(server, caller, asked)

    def _requests(self, caller: socket.socket, server: socket.socket, asked: dict[int, int]) -> None:
        frames = _Frames()
        with contextlib.suppress(OSError):
            while data := caller.recv(_CHUNK):
                for frame in frames.add(data):
                    if len(frame) >= 12:
                        key, _, number = struct.unpack_from(">hhi", frame, 4)
                        asked[number] = key
                self._wait()
                server.sendall(data)
        _reset(server)

    def _answers(self, server: socket.socket, caller: socket.socket, asked: dict[int, int]) -> None:
        frames = _Frames()
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                numbers = [struct.unpack_from(">i", frame, 4)[0] for frame in frames.add(data) if len(frame) >= 8]
                if self._is_swallowed([asked.pop(number, None) for number in numbers]):
                    break
                self._wait()
                self._pass(data, caller)
        _reset(caller)
        _reset(server)

    def _is_swallowed(self, keys: list[int | None]) -> bool:
        with self._lock:
            if self.swallow_produce_answers > 0 and PRODUCE in keys:
                self.swallow_produce_answers -= 1
            elif self.swallow_answers > 0:
                self.swallow_answers -= 1
            else:
                return False
            self.swallowed += 1
            return True

    def _wait(self) -> None:
        while self.silent and not self.cut:
            _PAUSE.wait(0.02)
        if self.delay_seconds:
            _PAUSE.wait(self.delay_seconds)

    def _pass(self, data: bytes, caller: socket.socket) -> None:
        if not self.bytes_per_second:
            caller.sendall(data)
            return
        for position in range(len(data)):
            caller.sendall(data[position : position + 1])
            if self.bytes_per_second:
                _PAUSE.wait(1 / self.bytes_per_second)


class _Frames:
    """Cuts a stream into Kafka's frames: four bytes of length, then so many bytes. Of other streams it makes nothing of use."""

    def __init__(self) -> None:
        self._held = b""

    def add(self, data: bytes) -> list[bytes]:
        """Return the frames that are complete by now."""
        self._held += data
        found = []
        while len(self._held) >= 4:
            size = 4 + struct.unpack_from(">I", self._held)[0]
            if len(self._held) < size:
                break
            found.append(self._held[:size])
            self._held = self._held[size:]
        if len(self._held) > 64 * 1024 * 1024:
            self._held = b""  # no frames at all
        return found
