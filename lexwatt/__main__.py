"""`python -m lexwatt` is the `lexwatt` command."""

from lexwatt.cli import main

main()
