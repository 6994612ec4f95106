"""lifeline.py SETTINGS: runs a program for as long as the caller's end of stdin is open, also when the caller is killed with -9.

Where this process is killed with -9 itself, the program is killed too; only Linux can do that.

SETTINGS is a JSON object: argv; log (where the program's output goes); user (a name to run as, or ""); stop_signal (a number);
stop_seconds (then it is killed); remove (a folder to delete afterwards, or ""). Standard library only: it is run by path.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1       # of <linux/prctl.h>


def main(settings: dict[str, Any]) -> int:
    """The program's exit code; 0 when it was stopped because stdin closed."""
    user = {"user": settings["user"], "extra_groups": []} if settings["user"] else {}
    with open(settings["log"], "ab") as log:
        program = subprocess.Popen(
            settings["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=_bound(), **user,
        )
    cut = threading.Event()

    def watch() -> None:
        while os.read(0, 4096):         # sys.stdin's lock, held here, would end the interpreter with an abort
            pass
        cut.set()
        program.send_signal(settings["stop_signal"])
        try:
            program.wait(settings["stop_seconds"])
        except subprocess.TimeoutExpired:
            program.kill()

    threading.Thread(target=watch, daemon=True).start()
    code = program.wait()
    if settings["remove"]:
        shutil.rmtree(settings["remove"], ignore_errors=True)
    return 0 if cut.is_set() else code


def _bound() -> Callable[[], None] | None:
    """What a child does first, so that it is killed when the thread that started it ends; None where no system call does that."""
    if sys.platform != "linux":
        return None
    prctl, me = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:      # it ended before that
            os._exit(1)

    return bind


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
