"""The hub behind another WSGI server, such as gunicorn, waitress or mod_wsgi.

Its first request opens it, so that it lives in the process that answers, whatever that was forked from. It trusts
nobody for being on its machine, as its server is there, too, and mostly a proxy in front of that.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import threading
from typing import Any, Callable, Dict, Iterable, Mapping, Optional

from . import config
from .cli import log_to_stderr
from .errors import HubError
from .hub import CanNotStart, Hub
from .web.app import refusal, start

log = logging.getLogger("smon")

RETRY_SECONDS = 5        # what a caller is told: the process before this one may still hold the data folder


class Hosted:
    """A WSGI application whose options are read from an environment, SMON_DATA_DIR and its like."""

    def __init__(self, environment: Mapping[str, str]):
        self._environment = environment
        self._hub: Optional[Hub] = None
        self._lock = threading.Lock()

    def __call__(self, environ: Dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            hub = self._opened()
        except (config.ConfigError, CanNotStart) as error:
            log.error("%s", error)
            sentence = "The hub can not start; the log of its server says why."
            return start(refusal(HubError("unavailable", sentence, RETRY_SECONDS)), environ, start_response)
        return hub.application(environ, start_response)

    def close(self) -> None:
        """Write back and close; a later request opens it again."""
        with self._lock:
            hub, self._hub = self._hub, None
        if hub is not None:
            hub.close()

    def _opened(self) -> Hub:
        with self._lock:
            if self._hub is None:
                hub = Hub(config.load([], self._environment)._replace(local_trust=False))
                log_to_stderr(hub.config.log_level)
                hub.open()
                with contextlib.ExitStack() as undo:
                    undo.callback(hub.close)
                    hub.begin()
                    undo.pop_all()
                self._hub = hub
                atexit.register(self.close)
            return self._hub


application = Hosted(os.environ)
