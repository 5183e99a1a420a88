"""The command line's first steps: `minnet` and `python -m minnet`.

Until the command line is imported, which takes some tenths of a second, Ctrl-C ends the process as it does afterwards.
"""
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # 128 + SIGINT


def stop(number: int, frame: FrameType | None) -> None:
    """End the process: nothing has been done yet."""
    os.write(2, b"minnet: interrupted\n")
    os._exit(INTERRUPTED)


def main() -> int:
    """Run the command that the process's arguments name and return the exit code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, or another program's
        signal.signal(signal.SIGINT, stop)
    from minnet.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
