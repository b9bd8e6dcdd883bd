"""The command `python -m sjepa.download NAME --out DIR`; its work is `datasets.download`."""

from sjepa.datasets.download import main
from sjepa.errors import main_with_errors

if __name__ == "__main__":
    main_with_errors(main)
