"""How a sample's payload lies in its row: JSON arrays without names, deflated with a preset dictionary.

Names are in the shapes; a row without them takes half the time to write and half the space. Members are only ever
added at the end of bodies.NUMBERS, DISK, NETWORK and PROCESS, so an older row reads as one that lacks the newer ones.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Dict, List, Optional, Sequence

from ..bodies import NUMBERS
from ..shapes import Shape

encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode

# Part of the file format: it never changes. Commonest last, as deflate reaches back from the end.
DICTIONARY = (
    b'"Z",null],"containerd","dockerd","redis-server","java","systemd-journald","systemd-udevd","dbus-daemon","agetty",'
    b'"svchost.exe","NT AUTHORITY\\\\SYSTEM","C:\\\\","NTFS","xfs","vfat","/boot/efi","/dev/nvme0n1p1","/dev/mapper/",'
    b'{"version":"0.","boot_id":"","sequence":,"buffered":0,"dropped":0,"beat_seconds":300.0,"interval_minutes":10.0,'
    b'"clean_shutdown":true,"live":false,"errors":{},"source":{"cpu":"host","memory":"host"}}'
    b'[["/dev/sda1","/","ext4",0,0.0,null]],[["kworker","postgres","nginx","python3","sshd",0.1,"idle","root"],'
    b'1,"systemd",0.0,0.0,12.0,"running","root"],[0.0,0.1,"sleeping","root"],['
)
WINDOW_BITS = -13  # raw deflate; what is packed is rarely over 8 KB
MEMORY_LEVEL = 5   # packs as well as 8 at this size, with tables that leave the processor's caches to others


def pack(numbers: Dict[str, Any], processes: Optional[Sequence[Any]], agent: Optional[Dict[str, Any]],
         timed: bool) -> bytes:
    """The blob of one clean payload: its metrics, its rows of processes, what the agent says about itself, and
    whether the agent said when it was taken."""
    text = encode([_values(numbers), processes or [], agent, timed])
    deflate = zlib.compressobj(3, zlib.DEFLATED, WINDOW_BITS, MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    return deflate.compress(text.encode("utf-8")) + deflate.flush()


def unpack(blob: bytes) -> Dict[str, Any]:
    """What was packed: {"metrics", "processes", "agent", "timed"}, processes and the disks in metrics as rows."""
    inflate = zlib.decompressobj(WINDOW_BITS, DICTIONARY)
    values, processes, agent, timed = json.loads(inflate.decompress(blob) + inflate.flush())
    return {"metrics": _named(NUMBERS, values), "processes": processes, "agent": agent, "timed": timed}


def _values(cleaned: Dict[str, Any]) -> List[Any]:
    """A clean object's values in the order of its shape, objects within it alike."""
    return [[*value.values()] if type(value) is dict else value for value in cleaned.values()]


def _named(shape: Shape, values: Sequence[Any]) -> Dict[str, Any]:
    """The object that `_values` took apart."""
    named: Dict[str, Any] = dict.fromkeys(shape.names)
    for field, value in zip(shape.fields, values):
        named[field.name] = dict(zip(field.kind.names, value)) if isinstance(field.kind, Shape) and value else value
    return named
