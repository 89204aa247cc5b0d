"""The hub as a whole: what it is made of, and the order in which that starts and stops."""

from __future__ import annotations

import errno
import itertools
import logging
import ssl
from typing import Any, Dict, Optional, Tuple

from . import clock, settings
from .assets import Assets
from .auth import Keys, new_local_token
from .config import Config
from .fleet import Fleet, loaded
from .folder import Folder, FolderUnusable, Running
from .jobs import SETTLED_FACT, Jobs
from .ratelimit import RateLimit
from .serve import Server as FrontServer
from .store import agent_config, options, series, servers
from .store.engine import DatabaseUnusable, Engine, Trouble
from .web.app import Application, refusal
from .web.dashboard_api import Overview

LANES = {"pool": (6, 256), "keys": (1, 1_024)}  # threads and waiting requests; bcrypt has a queue of its own


log = logging.getLogger("smon")


class CanNotStart(Exception):
    """Why the hub does not start, in a sentence for the person who tried."""


class Hub:
    """Owns every part. Handlers are given the hub and use its parts; nobody imports it."""

    def __init__(self, config: Config):
        self.config = config
        self.settings: Dict[str, Any] = dict(settings.DEFAULTS)
        self.keys = Keys()
        self.limits = RateLimit()
        self.fleet = Fleet()
        self.overview = Overview()
        self.assets = Assets()
        self.engine = Engine(config.database)
        self.jobs = Jobs(self)
        self.application = Application(self)
        self._tls: Optional[Tls] = None
        self.local_token = new_local_token()
        self._folder = Folder(config.data_dir, config.database)

    @staticmethod
    def now() -> int:
        """The one clock of the hub, UTC milliseconds."""
        return clock.now()

    def open(self) -> None:
        """Lock the data folder, open the database, load what is in memory. Raises CanNotStart."""
        try:
            self._folder.take()
            self.engine.start()
            self.settings.update(options.stored(self.engine.read()))
            self._load_fleet(self.engine.read())
        except (FolderUnusable, DatabaseUnusable) as error:
            raise CanNotStart(str(error)) from None
        except Trouble as error:
            raise CanNotStart(str(self.engine.unusable(error))) from None
        self.jobs.start()

    def serve(self) -> FrontServer:
        """Listen. The front server's run() then answers until it is stopped. Raises CanNotStart."""
        self._tls = Tls(self.config.tls_cert, self.config.tls_key) if self.config.tls_cert else None
        front = FrontServer(self.application, refusal, self.application.admit, LANES, self._tls,
                            exempt=self.config.trusted_proxies)
        try:
            front.bind(self.config.host, self.config.port)
        except OSError as error:
            why = "is in use by another program" if error.errno == errno.EADDRINUSE else "can not be used (%s)" % (
                error.strerror or error)
            raise CanNotStart("Port %d on %s %s; choose another with --port or --host." % (
                self.config.port, self.config.host, why)) from None
        self._tell(front.addresses[0])
        front.call_soon(self.engine.gather_by_turn, front.call_soon)
        return front

    def url(self, host: str, port: int) -> str:
        """An address of this hub as a browser writes it."""
        return "%s://%s:%d" % ("https" if self._tls else "http", "[%s]" % host if ":" in host else host, port)

    def _tell(self, address: Tuple[str, int]) -> None:
        """How the command line on this machine reaches this hub."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])
        try:
            self._folder.tell(Running(self.url(host, address[1]), self.local_token))
        except FolderUnusable as error:
            raise CanNotStart(str(error)) from None

    def reload(self) -> None:
        """Take up a renewed certificate; the one in force stays when the new one can not be used."""
        try:
            if self._tls is not None:
                self._tls.reload()
        except CanNotStart as error:
            log.error("%s", error)

    def close(self) -> None:
        """Write back and close, once nothing is answered any more."""
        self.jobs.stop()
        self.engine.stop()
        self._folder.release()

    def change_settings(self, changes: Dict[str, Any]) -> None:
        """Store checked settings and take them up."""
        self.engine.write(lambda db: options.put(db, changes), lambda _: self._take_up(changes))

    def _take_up(self, changes: Dict[str, Any]) -> None:
        self.settings = {**self.settings, **changes}
        self.fleet.version += 1

    def _load_fleet(self, db: Any) -> None:
        """Rows, their newest samples as last written back, then every sample that came after that."""
        by_id = {row["id"]: self.fleet.add(row) for row in servers.rows(db)}
        for row_id, revision in agent_config.all_pending(db).items():
            if row_id in by_id:
                by_id[row_id].config_revision = revision
        settled = self.fleet.settled_sample = int(options.fact(db, SETTLED_FACT, "0"))
        known = (series.sample(db, server.row["newest_sample"]) for server in by_id.values()
                 if server.row["newest_sample"] is not None)
        for sample in itertools.chain(filter(None, known), series.younger(db, settled)):
            server = by_id.get(sample.server)
            if server is not None:
                self.fleet.move(server, loaded(sample))
                self.fleet.seen(server, min(sample.at, self.now()))


class Tls:
    """The certificate in force; `reload` takes up a renewed one."""

    def __init__(self, cert: str, key: str):
        self._files = cert, key
        self.context = self._load()

    def reload(self) -> None:
        """Raises CanNotStart and keeps the one in force when the new one can not be used."""
        self.context = self._load()

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            raise CanNotStart("The certificate %s with key %s can not be used: %s." % (*self._files, error)) from None
        return context
