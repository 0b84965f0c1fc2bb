"""Write a new migration of a service from the difference between its tables and a scratch database.

python deploy/local/revision.py referral_svc "add a column"
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from svckit import testing

from careloop import postgres

_WORDS = 3


def main(package: str, message: str) -> int:
    """Return the exit code of the service's own `revision` command."""
    with tempfile.TemporaryDirectory(prefix="careloop-revision-") as folder:
        server = postgres.start(Path(folder), settings=postgres.THROWAWAY)
        try:
            url = testing.Databases(server.url).migrated(package)
            command = [sys.executable, "-m", package, "revision", message]
            environment = {**os.environ, **testing.environment(package, url)}
            return subprocess.run(command, env=environment, check=False).returncode
        finally:
            server.stop()


if __name__ == "__main__":
    if len(sys.argv) != _WORDS or not all(sys.argv):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
