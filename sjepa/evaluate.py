"""The command `python -m sjepa.evaluate PROTOCOL --params FILE`; its work is `protocols.run`."""

from sjepa.errors import main_with_errors
from sjepa.protocols.run import main

if __name__ == "__main__":
    main_with_errors(main)
