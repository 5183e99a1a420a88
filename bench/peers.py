"""Peers that need older packages than ours: an environment of their own, and a process in it that answers lines.

    python = environment("deepsparse-1.7.1", ("deepsparse==1.7.1", "numpy<2", "onnx==1.14.1"))
    if python is not None:
        worker = Worker(python, "deepsparse_worker.py", path, rows, threads)
        seconds = worker.ask(100)
"""
import platform
import subprocess
import sys
from pathlib import Path

NEWEST_PYTHON = (3, 11)  # that these packages have builds for
NEEDS = "x86, Python 3.11 or older, and a package index"


def environment(name, packages):
    """The Python of an environment with these packages, made in the user's cache at the first use; None where it
    cannot be had."""
    if sys.version_info[:2] > NEWEST_PYTHON or platform.machine() not in ("x86_64", "AMD64"):
        return None
    from minnet.kernels.jit import user_cache

    folder = user_cache() / "minnet" / f"bench-{name}"
    python = folder / "bin" / "python"
    try:
        if not (folder / "ready").exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True, capture_output=True)
            (folder / "ready").touch()
    except (OSError, subprocess.CalledProcessError):
        return None
    return python


class Worker:
    """A process that runs a script of this folder, says "ready", and then answers each line with seconds."""

    def __init__(self, python, script, *arguments):
        command = [str(part) for part in (python, Path(__file__).with_name(script), *arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL)
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"a peer stopped; to see why: {' '.join(command)}")

    def ask(self, line):
        """Seconds, as a float."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def stop(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
