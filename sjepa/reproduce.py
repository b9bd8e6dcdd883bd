"""The quick reproduction: `python -m sjepa.reproduce quick`; chapters call `quick()`."""

from sjepa.errors import main_with_errors
from sjepa.study.quick import main, quick  # noqa: F401

if __name__ == "__main__":
    main_with_errors(main)
