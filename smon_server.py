#!/usr/bin/env python3
"""Start the hub: `python smon_server.py`. `--help` lists the options."""

import sys

PACKAGES = {"bottle": "bottle", "bcrypt": "bcrypt"}  # what is imported, and what to install for it


def main() -> int:
    if sys.version_info < (3, 8):
        print("smon_server: Python 3.8 or newer is needed, this is %d.%d." % sys.version_info[:2], file=sys.stderr)
        return 2
    try:
        from smon_hub import cli
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES:
            raise
        print("smon_server: the Python package %s is missing; install it for %s (python3 install/quickstart.py does)."
              % (PACKAGES[error.name], sys.executable), file=sys.stderr)
        return 2
    return cli.main()


def application(environ, start_response):
    """For another WSGI server: the hub whose options the environment holds, SMON_DATA_DIR and its like."""
    from smon_hub import hosted
    return hosted.application(environ, start_response)


if __name__ == "__main__":
    sys.exit(main())
