"""`python -m edgelm` is `edgelm`."""

from edgelm.cli import main

if __name__ == "__main__":
    main()
