"""`python -m cellserve.service` is the command line."""

from cellserve.service.cli.main import main

main()
