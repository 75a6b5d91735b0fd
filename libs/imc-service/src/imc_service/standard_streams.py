"""Standard streams that work in any state: closed, a pipe that nobody reads, an ASCII locale."""

import contextlib
import os
import sys
from collections.abc import Generator
from io import TextIOWrapper
from typing import TextIO

BROKEN_PIPE = 141
"""The exit status if nobody reads the output: as a shell reports a program that SIGPIPE ended."""


@contextlib.contextmanager
def standard_streams() -> Generator[None]:
    """Run a program inside. It ends without a traceback, even if nobody takes what it writes."""
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # The locale may lack characters that we write.
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                _flush(stream)


def say(*lines: str) -> None:
    """Write lines to standard output.

    Raises `SystemExit`: with `BROKEN_PIPE` and no words if nobody reads them, with the reason if they can't
    be written, such as to a full disk.
    """
    try:
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        _flush(sys.stdout)
    except BrokenPipeError:
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        sys.exit(f"can't write to standard output: {error.strerror}")


def announce(text: str) -> None:
    """Write ``text`` to standard output; a process that serves goes on if nobody reads it."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        _flush(sys.stdout)


def _flush(stream: TextIO) -> None:
    """Write what is buffered, or drop it. Otherwise Python tries again at exit, and prints an error."""
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        raise


def _open_closed() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, on /dev/null.

    Otherwise the next file or socket gets such a number, and standard output is written into it.
    """
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:
        os.set_inheritable(descriptor, True)
        descriptor = os.dup(descriptor)
    os.close(descriptor)
    # Python makes no stream for a descriptor that was closed when it started.
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
