"""The command `python -m sjepa.download NAME --out DIR`; its work is `datasets.download`."""

from sjepa.datasets.download import download, main
from sjepa.errors import main_with_errors

__all__ = ["download", "main"]

if __name__ == "__main__":
    main_with_errors(main)
