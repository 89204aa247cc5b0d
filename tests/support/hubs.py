"""Two real hubs on one database behind nginx, and servers that send until they are acknowledged, as agents do."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from smon_hub import clock
from tests.hub import inside
from tests.support.client import Answer, Client
from tests.support.nginx import Nginx
from tests.support.postgres import PostgresServer
from tests.support.processes import METRICS, HubProcess, free_port

COOL, HOT = dict(METRICS, cpu_percent=10.0), dict(METRICS, cpu_percent=99.0)
AGAIN_SECONDS = 0.2          # agents wait longer
BEAT_SECONDS = 5             # between two signs of life, by their own word
PATIENCE_SECONDS = 120       # of a sender whose hubs and database are away by turns


class Account:
    """A server that is registered, and its credential."""

    def __init__(self, hub: inside.HubInside, number: int):
        made = hub.register(hostname="sender-%02d" % number)
        self.id, self.key = made["server_id"], made["api_key"]

    @property
    def headers(self) -> Dict[str, str]:
        return {"Authorization": "Bearer %s:%s" % (self.id, self.key)}


class Pair:
    """Hubs one and two, with a token of an admin, as many servers as asked for and a channel to `receiver`.

    url: of the database, as the hubs reach it; direct: as the test does, when that is another way.
    """

    def __init__(self, postgres: PostgresServer, folder: Path, direct: str, servers: int, url: str = "",
                 receiver: str = "", **settings: Any):
        self._postgres, self._folder = postgres, folder
        self._database = direct.rpartition("/")[2]
        self.port = free_port()
        self._options = ["--database", url or direct, "--trusted-proxies", "127.0.0.1",
                         "--public-url", "http://127.0.0.1:%d" % self.port]
        self._prepare(direct, servers, receiver, dict(settings, rate_limit_per_minute=1_000_000))
        self.hubs: List[HubProcess] = []
        self.nginx: Optional[Nginx] = None
        try:
            for name in ("one", "two"):
                self.hubs.append(HubProcess(folder / name, *self._options))
            self.nginx = Nginx([hub.port for hub in self.hubs], self.port)
        except BaseException:
            self.close()
            raise
        self.url = self.nginx.url

    def _prepare(self, direct: str, servers: int, receiver: str, settings: Dict[str, Any]) -> None:
        with inside.running(self._folder / "prepared", "--database", direct, at=clock.now()) as hub:
            hub.change_settings(settings)
            self.admin = hub.token("admin")
            self.accounts = [Account(hub, number) for number in range(servers)]
            if receiver:
                answer = hub.ask("POST", "/api/dashboard/channels", {
                    "kind": "pagerduty", "name": "pager", "config": {"url": receiver, "routing_key": "k"},
                    "severities": ["info", "warning", "critical"]}, headers=self.admin)
                assert answer.status == 201, answer

    def ask(self, statement: str) -> List[Any]:
        """What the database holds."""
        return self._postgres.ask(statement, self._database)

    def stored(self) -> Dict[str, List[int]]:
        """The moments of every server's samples."""
        found: Dict[str, List[int]] = {account.id: [] for account in self.accounts}
        for uuid, at in self.ask("SELECT v.uuid, s.at FROM samples s JOIN servers v ON v.id = s.server ORDER BY s.at"):
            found.setdefault(uuid, []).append(at)
        return found

    def restart(self, number: int) -> None:
        """Start a hub again that was killed, on its port."""
        hub = self.hubs[number]
        self.hubs[number] = HubProcess(hub.data_dir, *self._options, port=hub.port)

    def leader(self) -> int:
        """Which of them delivers, by what they said when they began to."""
        said = [hub.log.rfind("does the work delivery") > hub.log.rfind("leaves the work delivery")
                for hub in self.hubs]
        return said.index(True)

    def overview(self, number: int) -> Any:
        answer = self.hubs[number].get("/api/dashboard", self.admin)
        assert answer.status == 200, answer
        shown = answer.json
        del shown["now"]
        return shown

    def close(self) -> None:
        """End whatever still runs; a hub that is well ends well."""
        if self.nginx is not None:
            self.nginx.stop()
        for hub in self.hubs:
            if hub.running:
                assert hub.stop() == 0, hub.log

    def __enter__(self) -> "Pair":
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.close()


class Sender(threading.Thread):
    """Sends one sample after the other, each until it is acknowledged, with signs of life between the tries.

    answers: what was said to it; lost: connections that ended without an answer; hung: those that took too long.
    """

    def __init__(self, url: str, account: Account, is_hot: Callable[[int], bool] = lambda number: False,
                 pause: float = 0.0):
        super().__init__(name="sender %s" % account.id, daemon=True)
        self.account, self.is_hot, self.pause = account, is_hot, pause
        self.caller = Client(url)
        self.acknowledged: List[int] = []
        self.answers: List[Answer] = []
        self.lost: List[Exception] = []
        self.hung: List[float] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self.pause) and self.send():
            pass
        self.caller.close()

    def send(self) -> bool:
        """The next sample; whether it was taken."""
        at = max(clock.now(), self.acknowledged[-1] + 1 if self.acknowledged else 0)
        taken = self._deliver(at, HOT if self.is_hot(len(self.acknowledged)) else COOL)
        if taken:
            self.acknowledged.append(at)
        return taken

    def _deliver(self, at: int, metrics: Dict[str, Any]) -> bool:
        """Whether it was taken. What was asked for last is asked for to the end, or nobody could say what is there."""
        body = {"collected_at": clock.iso_ms(at), "metrics": metrics, "agent": {"beat_seconds": BEAT_SECONDS}}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if self._is_taken("/api/metrics", body):
                return True
            time.sleep(AGAIN_SECONDS)
            self._is_taken("/api/ping")
        return False

    def _is_taken(self, path: str, body: Any = None) -> bool:
        began = time.monotonic()
        try:
            answer = self.caller.post(path, body, self.account.headers)
        except TimeoutError:
            self.hung.append(time.monotonic() - began)
            self.caller.close()
            return False
        except (OSError, http.client.HTTPException) as error:
            self.lost.append(error)
            self.caller.close()
            return False
        self.answers.append(answer)
        return answer.status == 200

    def stop(self) -> None:
        self._over.set()


def all_of(senders: List[Sender]) -> int:
    """How many samples are acknowledged."""
    return sum(len(sender.acknowledged) for sender in senders)


def join(senders: List[Sender]) -> None:
    """End them, each with its last sample acknowledged."""
    for sender in senders:
        sender.stop()
    for sender in senders:
        sender.join(PATIENCE_SECONDS + 60)
        assert not sender.is_alive(), sender.name


def unheard(senders: List[Sender]) -> List[Any]:
    """Answers that an agent would not understand: neither taken, nor come back later."""
    return [answer for sender in senders for answer in sender.answers
            if answer.status != 200 and not (answer.status == 503 and int(answer.headers["retry-after"]) > 0)]
