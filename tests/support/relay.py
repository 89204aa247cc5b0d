"""A port of this machine that leads to another one, and the hand that cuts the line.

What is cut silently is as gone as behind a pulled cable: nothing arrives, nothing is refused, and what was under way
arrives after the mending. What is refused is as gone as a program that died: connections are reset, new ones at once.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from typing import Any, Set

READ_BYTES = 65536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() sends RST instead of FIN


class Relay:
    """Leads to host and port until stop(); runs in a thread of its own."""

    def __init__(self, host: str, port: int):
        self._target = (host, port)
        self._writers: Set[asyncio.StreamWriter] = set()
        self._refusing = False
        self.host = "127.0.0.1"
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._do(self._open())

    def cut(self) -> None:
        """From now on nothing passes, and nobody is told."""
        self._do(self._set(flowing=False, refusing=False))

    def refuse(self) -> None:
        """From now on every connection is reset."""
        self._do(self._set(flowing=True, refusing=True))

    def mend(self) -> None:
        """Let everything pass again, also what waited."""
        self._do(self._set(flowing=True, refusing=False))

    def stop(self) -> None:
        """Reset every connection and give the port back."""
        if self._thread.is_alive():
            self._do(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> "Relay":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.stop()

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._connected, self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _set(self, flowing: bool, refusing: bool) -> None:
        self._refusing = refusing
        if refusing:
            self._reset_all()
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _close(self) -> None:
        self._server.close()
        self._reset_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            if not self._refusing:
                await self._lead(reader, writer)
        finally:
            self._writers.discard(writer)
            _reset(writer)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass both ways until either side has ended; a target that is not there resets its caller, too."""
        try:
            answers, sink = await asyncio.open_connection(*self._target)
        except OSError:
            return
        self._writers.add(sink)
        try:
            await asyncio.gather(self._pass(reader, sink), self._pass(answers, writer))
        finally:
            self._writers.discard(sink)
            _reset(sink)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                data = await reader.read(READ_BYTES)
                await self._flowing.wait()
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            if not writer.transport.is_closing():
                writer.write_eof()
        except OSError:  # one side was reset; so is the other
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        writer.transport.abort()
