"""Whether Docker builds images on this machine.

Standard library only: ``tools/bootstrap`` uses it before there is a virtual environment.
"""

import subprocess
from collections.abc import Mapping

_TIMEOUT_S = 15


def daemon_answers(docker: str, environment: Mapping[str, str]) -> bool:
    """Say whether the client at the path ``docker`` reaches its daemon, in 15 seconds.

    ``docker version`` prints the client's version even without a daemon, and fails after that.
    """
    try:
        done = subprocess.run(
            [docker, "version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
