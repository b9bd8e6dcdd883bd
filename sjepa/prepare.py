"""The command `python -m sjepa.prepare NAME --raw DIR --out DIR`; its work is in `datasets`."""

from sjepa.datasets.prepare import main
from sjepa.errors import main_with_errors

if __name__ == "__main__":
    main_with_errors(main)
