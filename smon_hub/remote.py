"""Ask the hub that runs on a data folder, over its own API, with the token that it left there for its owner."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any, Dict, Optional
from urllib.parse import urlsplit

from .errors import HubError
from .folder import Running

ASK_SECONDS = 120        # a large import takes a while


class NoAnswer(Exception):
    """What said that it runs does not answer as a hub does."""


def ask(running: Running, method: str, path: str, body: Optional[bytes], kind: str) -> Dict[str, Any]:
    """The answer to a body of this content type. Raises NoAnswer, or HubError with the hub's own sentence."""
    connection = _connection(running.url)
    try:
        connection.request(method, path, body, {"Content-Type": kind, "Authorization": "Bearer " + running.token})
        answer = connection.getresponse()
        said = json.loads(answer.read().decode("utf-8"))
        if answer.status >= 400:
            raise HubError(said["code"], said["error"])
        return said
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        why = ascii(str(error))[1:-1]
        raise NoAnswer("What runs at %s does not answer as a hub: %s." % (running.url, why)) from None
    finally:
        connection.close()


def _connection(url: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    if place.scheme == "http":
        return http.client.HTTPConnection(place.hostname or "", place.port, timeout=ASK_SECONDS)
    # Its certificate names the address that others use; on this machine the folder's owner is proof enough.
    return http.client.HTTPSConnection(place.hostname or "", place.port, timeout=ASK_SECONDS,
                                       context=ssl._create_unverified_context())
