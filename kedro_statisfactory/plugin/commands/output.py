"""How commands answer: tables for people, JSON for programs, one line for what is wrong."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

#: Exit status of a command whose answer is no: runs differ, something is wrong, entries conflict.
NO = 1
#: Exit status of a command that could not be answered.
TROUBLE = 2

# Columns where nobody reads on a screen, and nothing says how wide it is.
_WIDTH_OF_FILES = 120

env_option = click.option("--env", "-e", help="Kedro environment whose catalog names the repositories.")
json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for programs.")


class Refused(click.ClickException):
    """What was asked cannot be answered or done; told in one line."""

    exit_code = TROUBLE


class RefusedAsTold(click.ClickException):
    """What was asked was looked at, and the answer is no; told in one line."""

    exit_code = NO


def answers(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command end with a line and an exit status, and never with a traceback.

    Of what is logged meanwhile only errors are shown, beside the answer; a reader that has seen enough may go away.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        from kedro_statisfactory.errors import StatisfactoryError

        try:
            try:
                _tell_all_letters()
                with _quiet_log():
                    command(*args, **kwargs)
            except StatisfactoryError as error:
                where = f"catalog entry {error.entry!r}: " if error.entry else ""
                raise Refused(one_line(f"{where}{error}")) from error
            except click.ClickException as error:
                if not isinstance(error, Refused | RefusedAsTold | click.UsageError):
                    raise Refused(one_line(error.message)) from error
                raise
            sys.stdout.flush()
        except BrokenPipeError:
            _forget_output()

    return wrapped


@contextlib.contextmanager
def told_where_full() -> Iterator[None]:
    """Tell in one line that the standard output takes nothing, as on a full disk.

    Raises:
        Refused: That is so.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename is not None or not _is_stuck():
            raise
        _forget_output()
        text = f"nothing can be written to the standard output: {error.strerror}. What was done before that stays."
        raise Refused(text) from error


def _is_stuck() -> bool:
    """Whether the standard output takes nothing: an error may be about something else."""
    try:
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), b"\n")
    except io.UnsupportedOperation:  # it is no file
        return False
    except OSError:
        return True
    return False


def _forget_output() -> None:
    """Keep what is still in the buffer from being told, or failing, once more when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell_all_letters() -> None:
    """A terminal may not know the letters of a name: these are told by their codes then."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Kedro shows logs on the standard output, where the answer is: show errors alone, and elsewhere."""
    import logging

    from rich.console import Console
    from rich.logging import RichHandler

    handlers = [each for each in logging.getLogger().handlers if isinstance(each, RichHandler)]
    before = [(each, each.console, each.level) for each in handlers]
    for each in handlers:
        each.console = Console(stderr=True)
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, screen, level in before:
            each.console = screen
            each.setLevel(level)


def one_line(text: str) -> str:
    """A text without line breaks and what a terminal takes for orders.

    >>> one_line("a\\n  b")
    'a b'
    """
    return plain(" ".join(text.split()))


def plain(text: object) -> str:
    """A text in which characters that a terminal takes for orders are told by their codes.

    >>> plain("ok\\x1b[31m")
    'ok\\\\x1b[31m'
    """
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape", "backslashreplace").decode()
        for each in str(text)
    )


def print_json(answer: Any) -> None:
    """Print an answer for programs."""
    click.echo(json.dumps(answer, indent=2, sort_keys=False, ensure_ascii=False, default=str))


def console() -> Console:
    """Where an answer for people is printed: colours on a terminal only, and as wide as that."""
    from rich.console import Console

    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False, width=None if told else _WIDTH_OF_FILES)


def show(*what: RenderableType) -> None:
    """Print an answer for people."""
    screen = console()
    with screen.capture() as captured:  # rich would end the process itself where nobody reads any more
        for each in what:
            screen.print(each)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def words(text: object, style: str = "") -> Text:
    """A text as it is, in a style."""
    from rich.text import Text

    return Text(plain(text), style=style)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], whole: Sequence[str] = ()) -> Table:
    """A table that breaks long cells over lines rather than to cut them.

    Args:
        columns: The heads.
        rows: The cells.
        whole: Heads of columns that stay in one line, because somebody is going to copy what is in them.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for column in columns:
        made.add_column(words(column), overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else words(cell) for cell in row))
    return made


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, one below the other; what has no value is left out."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        if value not in (None, ""):
            made.add_row(words(name), value if isinstance(value, Text) else words(value))
    return made


def size_of(number: int | None) -> str:
    """A number of bytes, in three digits.

    >>> size_of(812), size_of(1500), size_of(3 << 30), size_of(None)
    ('812 B', '1.5 kB', '3.2 GB', '')
    """
    if number is None:
        return ""
    value, units = float(number), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.0f} {units[0]}" if units[0] == "B" or value >= 100 else f"{value:.1f} {units[0]}"


def took(seconds: float | None) -> str:
    """How long something took, in its two largest units.

    >>> took(0.42), took(75), took(7260), took(200_000), took(None)
    ('0.4 s', '1 min 15 s', '2 h 1 min', '2 d 7 h', '')
    """
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(number for number, (_, length) in enumerate(units) if seconds >= length)
    (large, much), (small, little) = units[first], units[first + 1]
    return f"{int(seconds // much)} {large} {int(seconds % much // little)} {small}"


def ago(time: datetime | None) -> str:
    """How long something is ago, in its largest unit."""
    if time is None:
        return ""
    seconds = (datetime.now(timezone.utc) - time).total_seconds()
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def clock(time: datetime | None) -> str:
    """A time, in the zone of who reads it."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z").strip()
