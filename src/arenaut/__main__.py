"""python -m arenaut: the `arenaut` command."""

from arenaut.cli import main

main()
