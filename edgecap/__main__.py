"""``python -m edgecap``: the same as the command ``edgecap``."""

from edgecap.cli import main

main()
