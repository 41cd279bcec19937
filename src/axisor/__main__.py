"""`python -m axisor`: the command line from a checkout."""

from axisor.cli.main import main

if __name__ == "__main__":
    main()
