"""The estimators' tests on the oldest scikit-learn that minnet takes: `python -m bench.oldest_sklearn [1.6.1]`.

It is put into a folder of its own, before the installed one on the path, and goes with it.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST = "1.6.1"
TESTS = ("tests/test_estimators.py", "tests/test_estimator_tools.py", "tests/test_from_sklearn.py")
IGNORED = ("ignore::pytest.PytestRemovedIn10Warning", "ignore::DeprecationWarning")  # of that version's own code


def main(version=OLDEST):
    """Install, test, and return pytest's exit code."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder]
        subprocess.run([*install, f"scikit-learn=={version}"], check=True)
        options = [option for warning in IGNORED for option in ("-W", warning)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([folder, str(root)])}
        return subprocess.run([sys.executable, "-m", "pytest", "-q", *options, *TESTS], cwd=root, env=environment,
                              check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
