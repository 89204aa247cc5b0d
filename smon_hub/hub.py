"""The hub as a whole: what it is made of, and the order in which that starts and stops."""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import ssl
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from . import clock, settings
from .accounts import Accounts
from .assets import Assets
from .attempts import Attempts
from .auth import Caller, Keys, new_local_token, new_setup_code
from .backup import Backups, advice, before_upgrade, finish_restore
from .config import Config
from .exposition import Exposition
from .errors import HubError
from .fleet import Fleet, loaded
from .folder import Folder, FolderUnusable, Running
from .jobs import SETTLED_FACT, Jobs
from .ledger import load_alerts
from .maintenance import Window
from .notify import Delivery
from .overrides import Overrides
from .peers import Peers
from .ratelimit import RateLimit
from .reminders import load_windows, mark_maintenance
from .serve import Server as FrontServer
from .silence import Silence
from .store import agent_config, audit, options, series, servers
from .store.commits import DatabaseUnusable
from .store.engine import Engine, Trouble
from .store.postgres import Postgres
from .web.app import Application, refusal
from .web.dashboard_api import Overview
from .web.openapi import Contract
from .web.routes import ROUTES

# Threads and waiting requests; bcrypt has a queue of its own, and so have long answers: a slow client holds a thread.
LANES = {"pool": (6, 256), "keys": (1, 1_024), "exports": (2, 16), "logins": (1, 64)}


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
        self.attempts, self.crowds = Attempts(), Attempts()  # at secrets, by who tries; at names, by anybody
        self.accounts = Accounts()
        self.setup_code = ""  # what makes the first account, while there is none
        self.fleet = Fleet()
        self.silence = Silence(self.now())
        self.overrides = Overrides()
        self.windows: List[Window] = []  # of maintenance
        self.overview = Overview()
        self.exposition = Exposition(self.now())
        self.contract = Contract(ROUTES)
        self.assets = Assets()
        self.engine: Union[Engine, Postgres] = (Postgres if config.shares else Engine)(config.database)
        self.peers = Peers(self)
        self.jobs = Jobs(self)
        self.delivery = Delivery(self)
        self.backups = Backups(self)
        self.application = Application(self)
        self._tls: Optional[Tls] = None
        self.local_token = new_local_token()
        self._folder = Folder(config.data_dir, config.lock)

    @staticmethod
    def now() -> int:
        """The one clock of the hub, UTC milliseconds."""
        return clock.now()

    def open(self) -> None:
        """Lock the data folder, open the database, load what is in memory. Raises CanNotStart and lets go of both."""
        with self._told(), contextlib.ExitStack() as undo:
            self._folder.take()
            undo.callback(self._folder.release)
            if not self.config.shares:
                finish_restore(self.config.database)
                before_upgrade(self.config, self.now())
            self.engine.start()
            undo.callback(self.engine.stop)
            db = self.engine.read()
            self.peers.begin(db)
            self.settings.update(options.stored(db))
            self.accounts.load(db)
            self._load_fleet(db)
            self.peers.start()
            undo.pop_all()
        self.jobs.start()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Whatever stands in the way of a start as CanNotStart."""
        try:
            yield
        except (FolderUnusable, HubError) as error:
            raise CanNotStart(str(error)) from None
        except (DatabaseUnusable, Trouble) as error:
            trouble = error if isinstance(error, DatabaseUnusable) else self.engine.unusable(error)
            raise CanNotStart("%s %s" % (trouble, advice(self.config)) if trouble.damaged else str(trouble)) from None

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
        self.delivery.own_port = front.addresses[0][1]
        self.begin(front.addresses[0])
        front.call_soon(self.engine.gather_on_loop, front.call_soon, front.call_idle)
        return front

    def url(self, host: str, port: int) -> str:
        """An address of this hub as a browser writes it."""
        return "%s://%s:%d" % ("https" if self._tls else "http", "[%s]" % host if ":" in host else host, port)

    def _own_url(self, host: str, port: int) -> str:
        return self.url({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)

    def begin(self, address: Optional[Tuple[str, int]] = None) -> None:
        """What only a hub does that answers others: say how the command line reaches it, let somebody make the first
        account, and send messages. address: where it listens, when it does so itself. Raises CanNotStart."""
        with self._told():
            self._folder.tell(Running(self._own_url(*address) if address else "", self.local_token))
            self._begin_setup()
            self.delivery.start()

    def _begin_setup(self) -> None:
        if not self.accounts.users:
            self.setup_code = new_setup_code()
            self._folder.put_code(self.setup_code)
            log.info("There is no account yet. The set-up code for the first one is %s.", self.setup_code)

    def end_setup(self) -> None:
        """There is an account: no code makes another one."""
        self.setup_code = ""
        self._folder.drop_code()

    def reload(self) -> None:
        """Take up a renewed certificate; the one in force stays when the new one can not be used."""
        try:
            if self._tls is not None:
                self._tls.reload()
        except CanNotStart as error:
            log.error("%s", error)

    def close(self) -> None:
        """Write back and close, once nothing is answered any more."""
        self.delivery.stop()
        self.jobs.stop()
        self.backups.stop()
        self.peers.stop()
        self.engine.stop()
        self._folder.release()

    def change_settings(self, changes: Dict[str, Any], caller: Caller = Caller("admin", "")) -> None:
        """Store checked settings and take them up."""
        def work(db: Any) -> None:
            options.put(db, changes)
            old, new = settings.answer(self.settings), settings.answer({**self.settings, **changes})
            change = {**audit.changed(old, new), **{key: [old[key], new[key]] for key in changes
                                                    if settings.BY_KEY[key].secret}}
            audit.add(db, caller.who, caller.address, "settings.change", "", change, self.now())
        self.engine.write(work, lambda _: self.take_up({**self.settings, **changes}))

    def take_up(self, whole: Dict[str, Any]) -> None:
        """These settings hold from now on."""
        self.settings = whole
        self.fleet.version += 1

    def _load_fleet(self, db: Any) -> None:
        """Rows, their newest samples as last written back, then every sample that came after that. Where hubs share the
        database each sample is written back with its row."""
        turns = servers.turns(db)
        by_id = {row["id"]: self.fleet.add(row) for row in servers.rows(db)}
        for row_id, row in by_id.items():
            row.turn = turns.get(row_id, (0, 0))[0]
        for row_id, revision in agent_config.all_pending(db).items():
            if row_id in by_id:
                by_id[row_id].config_revision = revision
        settled = self.fleet.settled_sample = int(options.fact(db, SETTLED_FACT, "0"))
        known = (series.sample(db, server.row["newest_sample"]) for server in by_id.values()
                 if server.row["newest_sample"] is not None)
        younger = () if self.engine.shared else series.younger(db, settled)
        for sample in itertools.chain(filter(None, known), younger):
            server = by_id.get(sample.server)
            if server is not None:
                self.fleet.move(server, loaded(sample))
                self.fleet.seen(server, min(sample.at, self.now()))
        self.fleet.wind_back(0, self.now())
        load_alerts(self, db)
        load_windows(self, db)
        self.overrides.take_up(options.group_rules(db))
        mark_maintenance(self, self.now())


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
            context.load_cert_chain(*self._files, password="")  # without one OpenSSL asks at the terminal
        except (OSError, ssl.SSLError) as error:
            raise CanNotStart("The certificate %s with key %s can not be used: %s." % (*self._files, error)) from None
        return context
