"""Makes sure that Qt finds what it needs of the system, before the tests begin.

On a Linux without a desktop, Qt's wheels lack libraries and there is no display. As root on Debian
or Ubuntu this installs them, and says so; elsewhere it prints the command and stops.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

#: What is looked for, and the Debian package that has it.
LIBRARIES = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libOpenGL.so.0": "libopengl0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
}


def missing() -> list[str]:
    """Return the packages that are not there."""
    packages = []
    for library, package in LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            packages.append(package)
    if shutil.which("Xvfb") is None:
        packages.append("xvfb")
    return packages


def main() -> int:
    """Look, and install or explain."""
    if sys.platform != "linux":
        return 0
    packages = missing()
    if not packages:
        return 0
    install = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(
            "The tests open napari windows, for which Qt needs system packages that are not here. "
            f"On Debian or Ubuntu run:\n\n    sudo {' '.join(install)}\n\nand then tox again.",
            file=sys.stderr,
        )
        return 1
    print(f"Installing what Qt needs of the system: {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
    subprocess.run(
        [*install[:1], "-qq", *install[1:]], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    still = missing()
    if still:
        print(f"These packages are still missing: {' '.join(still)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
