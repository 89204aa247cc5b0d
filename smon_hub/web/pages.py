"""The page: its shell, which is the same for everyone and holds no data, its files, and errors as HTML."""

from __future__ import annotations

import hashlib
import html
from typing import Any, Optional

from ..errors import HubError
from .call import Call, File

FOCUSED = " autofocus"
FOR_EVER = "public, max-age=31536000, immutable"
HTML = "text/html; charset=utf-8"

Hub = Any  # hub.Hub, which is passed and never imported


def shell(hub: Hub, call: Call) -> File:
    """Every page of the dashboard: the browser's address says which."""
    return File(HTML, hub.assets.page("shell.html"))


def login(hub: Hub, onward: str, name: str = "", wrong: Optional[HubError] = None) -> File:
    """Where one logs in, or makes the first account; works without script.

    onward: where to go then, checked. name: as it was typed. wrong: what came of the last try.
    """
    form, title = ("login.html", "Log in") if hub.accounts.users else ("setup.html", "First account")
    page = _panel(hub, form, "login", title, next=_text(onward), name=_text(name),
                  message=_text(wrong.sentence if wrong else ""), focus_name="" if name else FOCUSED,
                  focus_password=FOCUSED if name else "")
    return File(HTML, page, status=wrong.status if wrong else 200)


def static(hub: Hub, call: Call) -> File:
    """A file of the page under the address of its content."""
    asset = hub.assets.static.get(call.params["name"])
    if asset is None or call.params["version"] != hub.assets.version:
        raise HubError("not_found", "No such file.")
    return File(asset.type, asset.body, asset.gzipped, FOR_EVER)


def agent(hub: Hub, call: Call) -> File:
    """The agent's one file, for machines that reach the hub and nothing else."""
    return File("text/x-python; charset=utf-8", hub.assets.agent)


def agent_sum(hub: Hub, call: Call) -> File:
    """What the file must be, for whoever carries it further."""
    return File("text/plain; charset=utf-8", b"%s  smon_agent.py\n" % hashlib.sha256(
        hub.assets.agent).hexdigest().encode("ascii"))


def icon(hub: Hub, call: Call) -> File:
    """Browsers ask for this address whatever the page says."""
    asset = hub.assets.static["favicon.svg"]
    return File(asset.type, asset.body, asset.gzipped, "public, max-age=86400")


def _text(words: str) -> str:
    """A caller's words inside a template: neither markup, nor a place that the template fills in."""
    return html.escape(words).replace("$", "&#36;")


def error(hub: Hub, refusal: HubError) -> bytes:
    """A refusal for a person who followed a link."""
    title = _text(refusal.code.replace("_", " ").capitalize())
    return _panel(hub, "error.html", "error", title, title=title, message=_text(refusal.sentence))


def _panel(hub: Hub, template: str, kind: str, page_title: str, **words: str) -> bytes:
    """A page of one panel that works without script: a template in the frame that all of them share."""
    content = hub.assets.page(template, **words).decode("utf-8")
    return hub.assets.page("panel.html", title=page_title, kind=kind, content=content)
