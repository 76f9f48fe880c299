"""Open JupyterLab on the notebooks: `python -m helpers.lab`."""

import os
import subprocess
import sys

from helpers.files import ROOT


def main() -> int:
    """Start JupyterLab in the project's folder; its kernels find helpers."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "jupyterlab", "notebooks"]
    try:
        return subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
