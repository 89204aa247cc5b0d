"""Run the agent or the hub as a service, from the tree or from the unpacked offline bundle.

    sudo python3 install/install_service.py                   the agent, as a service of this machine
    sudo python3 install/install_service.py uninstall         takes it away again
    sudo python3 install/install_service.py hub               the hub
    python3 install/install_service.py hub print              shows what would be placed

Started again it brings the programs up to date and leaves everything that a person edited as it is.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, List

import programs
import unpack
from programs import PROGRAMS, Unusable

if os.name == "nt":
    import on_windows as system
else:
    import on_systemd as system  # type: ignore[no-redef]

DONE, FAILED = 0, 2


def main(arguments: List[str]) -> int:
    """0, the status of `status`, or 2 with one sentence on stderr."""
    options = parse(arguments)
    os.umask(0o077 if options.user else 0o022)  # a service of the machine runs as another user than who installs it
    try:
        return ACTIONS[options.action](system.Service(PROGRAMS[options.program], options), options)
    except (Unusable, unpack.Misfit) as error:
        print("install_service: %s" % error, file=sys.stderr)
    except OSError as error:
        print("install_service: %s: %s." % (error.filename, error.strerror), file=sys.stderr)
    return FAILED


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="agent|hub install|uninstall|status|print",
                        help="the agent and install when not said")
    parser.add_argument("--user", action="store_true", help="a service of your own, without root")
    parser.add_argument("--url", default="", help="agent: address of the hub; several of them separated by commas")
    parser.add_argument("--token", default="", help="agent: registration token")
    parser.add_argument("--group", default="", help="agent: group to register in")
    parser.add_argument("--host", default="0.0.0.0", help="hub: address to listen on (default: every one)")
    parser.add_argument("--port", type=int, default=3000, help="hub: port to listen on (default 3000)")
    parser.add_argument("--purge", action="store_true", help="uninstall: config and data, too")
    parser.add_argument("--root", default=os.path.abspath(os.sep), help="place the files in the tree of another system")
    options = parser.parse_args(arguments)
    words = list(options.words)
    options.program = words.pop(0) if words and words[0] in PROGRAMS else "agent"
    options.action = words.pop(0) if words else "install"
    if words or options.action not in ACTIONS:
        parser.error("%s is neither a program (%s) nor what to do with it (%s)." % (
            (words or [options.action])[0], ", ".join(PROGRAMS), ", ".join(ACTIONS)))
    return options


def install(service: system.Service, options: argparse.Namespace) -> int:
    """Place what is new, start what is not running."""
    service.check_rights()
    files = service.program.files()
    service.prepare()
    placing = service.placing
    for name, content in files.items():
        placing.put(service.where.programs / name, content)
    changed = bring_packages(service)
    if not placing.put_once(service.where.config, service.program.config(options, service.where.state),
                            service.config_mode()):
        placing.said.append("%s was there and stays as it is." % service.where.config)
    service.give_config()
    service.place_unit()
    placing.save()
    service.start(changed or placing.changed)
    say(placing.said + ([] if is_image(options) else service.hints()))
    return DONE


def uninstall(service: system.Service, options: argparse.Namespace) -> int:
    """Stop it and take it away; config and data stay unless --purge is given."""
    service.check_rights()
    if not service.placing.at(service.where.programs).is_dir():
        raise Unusable("There is no %s installed here." % service.program.service)
    service.stop()
    service.placing.remove()
    service.forget()
    if options.purge:
        service.placing.purge([service.where.config, service.where.state])
        kept = "Its config and its data went with it."
    else:
        kept = "%s and %s stay." % (service.where.config, service.where.state)
    say(service.placing.said + ["%s is no longer installed. %s" % (service.program.service, kept)])
    return DONE


def status(service: system.Service, options: argparse.Namespace) -> int:
    return service.status()


def show(service: system.Service, options: argparse.Namespace) -> int:
    """What an installation would write, and where."""
    where = service.where
    print("# programs in %s, data in %s\n\n# %s\n%s\n# %s\n%s" % (
        where.programs, where.state, where.config, service.program.config(options, where.state).decode(),
        where[3], service.unit), end="")
    return DONE


ACTIONS = {"install": install, "uninstall": uninstall, "status": status, "print": show}


def bring_packages(service: system.Service) -> bool:
    """Unpack the bundle's packages beside the program, or see that Python has them. Raises Unusable or Misfit."""
    place = service.placing.at(service.where.programs)
    changed = False
    if (programs.HOME / "wheels").is_dir():
        for wheel in unpack.fitting(programs.HOME / "wheels", service.program.packages, unpack.this_system()):
            changed = unpack.unpack(wheel, place) or changed
    missing = [name for name in service.program.packages if not has_package(place, name)]
    if missing:
        raise Unusable("%s lacks %s: install it for that Python, or install from the offline bundle." % (
            sys.executable, " and ".join(missing)))
    compile_all(place)
    return changed


def has_package(place: Path, name: str) -> bool:
    """Whether a service in this folder would find it; the packages of one person (-s) do not count."""
    return run_python(place, "-s", "-c", "import sys; sys.path.insert(0, '.'); import " + name)


def compile_all(place: Path) -> None:
    """The service may not write here, and would compile its modules at every start."""
    run_python(place, "-m", "compileall", "-q", ".")


def run_python(place: Path, *words: str) -> bool:
    return subprocess.call([sys.executable, *words], cwd=str(place), stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def is_image(options: argparse.Namespace) -> bool:
    return Path(options.root) != Path(os.path.abspath(os.sep))


def say(lines: List[Any]) -> None:
    for line in lines:
        print(line)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
