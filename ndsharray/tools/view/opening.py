"""Opening the page in the user's browser, while nobody else learns its address.

Every user of the machine sees the browser's command line. So that has the path of a file that only
its owner can read, and the file leads the browser on to the address with the token.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

__all__ = ["opened"]

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={url}">
<title>ndsharray view</title>
<p><a href="{url}">ndsharray view</a></p>
</html>
"""


@contextlib.contextmanager
def opened(url: str) -> Iterator[None]:
    """Open a page in the default browser; what leads there is removed as the block ends."""
    fd, path = tempfile.mkstemp(".html", "ndsharray-view-")  # of mode 0600
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(_PAGE.format(url=url))
        told = Path(path).as_uri()  # guard: view-token-in-no-command-line
        # In a thread: a browser in the terminal would keep the server waiting.
        threading.Thread(target=webbrowser.open, args=(told,), daemon=True).start()
        yield
    finally:
        with contextlib.suppress(OSError):  # somebody has tidied up, or has it open on Windows
            os.unlink(path)
