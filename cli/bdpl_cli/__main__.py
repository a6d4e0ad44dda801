"""``python -m bdpl_cli``."""

from bdpl_cli.main import main

main()
