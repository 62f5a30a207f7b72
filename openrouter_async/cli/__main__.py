"""`python -m openrouter_async.cli` is the same as `openrouter-keys`."""

import sys

from openrouter_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
