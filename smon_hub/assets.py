"""Files of the page, from the source tree or from the zip that the hub runs in; read at start, served from memory.

Only names found then can be asked for, so that no path can lead anywhere else. Scripts are served without comments:
what they say is for who reads the source.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
import re
import zipfile
from typing import Dict, Iterator, NamedTuple, Tuple

HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STATIC, TEMPLATES = "smon_static", "smon_templates"
AGENT = "smon_agent.py"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml",
         ".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8"}
JOINED = {  # files that are one answer, in the order in which they build on each other
    "smon.css": ("css/tokens.css", "css/base.css", "css/layout.css", "css/parts.css", "css/views.css"),
    "early.js": ("early/theme.js", "early/question.js", "early/view.js"),
}
BLOCK = re.compile(rb"^[ \t]*/\*(?:(?!\*/).)*\*/[ \t]*$", re.DOTALL | re.MULTILINE)
REMARK = re.compile(rb"^([^\"'`/\n]*?)[ \t]*//(?:(?!\*/)[^\n])*$", re.MULTILINE)  # before it nothing is open
INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)


class Asset(NamedTuple):
    """A file as it is served: its type, its bytes, and the same gzipped."""

    type: str
    body: bytes
    gzipped: bytes


class Assets:
    """Every static file under `/static/<version>/`, and the templates with that address filled in."""

    def __init__(self) -> None:
        files = {name: body for name, body in _files(STATIC) if _extension(name) in TYPES}
        for name, parts in JOINED.items():
            files[name] = b"\n".join(files.pop(part, b"") for part in parts)
        files = {name: bare(body) if _extension(name) == ".js" else body for name, body in files.items()}
        self.version = _version(files)
        self.static = {name: _asset(name, body) for name, body in files.items()}
        self.agent = _file(AGENT)
        self._templates = {name: body.decode("utf-8") for name, body in _files(TEMPLATES)}

    def page(self, template: str, **words: str) -> bytes:
        """A template with `$static` and each `$word` filled in. The words are the hub's own, never a caller's."""
        text = self._templates[template]
        for word, value in dict(words, static="/static/" + self.version).items():
            text = text.replace("$" + word, value)
        return text.encode("utf-8")


def bare(script: bytes) -> bytes:
    """A script without its indents and its comments, but for those after a quote or a slash; lines keep their numbers.

    Only text that spans lines could hold what looks like either: where some line may begin such a text, the script
    stays as it is.
    """
    if any(map(_goes_on, script.split(b"\n"))):
        return script
    script = BLOCK.sub(lambda found: b"\n" * found.group().count(b"\n"), script)
    return INDENT.sub(b"", REMARK.sub(rb"\1", script))


def _goes_on(line: bytes) -> bool:
    """Whether a template or a string may be open at the line's end."""
    return (line.replace(b"\\`", b"").count(b"`") % 2 == 1 or line.count(b"${") > line.count(b"}")
            or line.endswith(b"\\"))


@functools.lru_cache(maxsize=None)
def template(name: str) -> str:
    """A template as it is, for whoever fills it in with words that are not the hub's own."""
    return _file(TEMPLATES + "/" + name).decode("utf-8")


def _files(folder: str) -> Iterator[Tuple[str, bytes]]:
    """(path under the folder with /, content) of each file."""
    if zipfile.is_zipfile(HOME):
        with zipfile.ZipFile(HOME) as bundle:
            for name in sorted(bundle.namelist()):
                if name.startswith(folder + "/") and not name.endswith("/"):
                    yield name[len(folder) + 1:], bundle.read(name)
        return
    root = os.path.join(HOME, folder)
    for path, folders, names in sorted(os.walk(root)):
        for name in sorted(names):
            full = os.path.join(path, name)
            with open(full, "rb") as stream:
                yield os.path.relpath(full, root).replace(os.sep, "/"), stream.read()


def _file(name: str) -> bytes:
    """One file of the top level."""
    if zipfile.is_zipfile(HOME):
        with zipfile.ZipFile(HOME) as bundle:
            return bundle.read(name)
    with open(os.path.join(HOME, name), "rb") as stream:
        return stream.read()


def _asset(name: str, body: bytes) -> Asset:
    return Asset(TYPES[_extension(name)], body, gzip.compress(body, 9, mtime=0))


def _extension(name: str) -> str:
    return os.path.splitext(name)[1]


def _version(files: Dict[str, bytes]) -> str:
    """One address for one content: what is under it may be kept by browsers for ever."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode("utf-8") + b"\0" + files[name] + b"\0")
    return digest.hexdigest()[:12]
