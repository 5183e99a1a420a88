"""`python -m minnet`: the command line without an installed script."""
import sys

from minnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
