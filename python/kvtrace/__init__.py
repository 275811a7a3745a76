"""kvtrace from Python: the four filters for the request traces of LLM serving, run as programs.

>>> import kvtrace
>>> kvtrace.stats("trace.jsonl", block_size=16)["token_hit_rate"]      # doctest: +SKIP
0.865
>>> for line in kvtrace.hash([{"prompt": "Hello"}, {"prompt": "Hello"}], tokenizer="bytes", block_size=1):
...     print(line["hash_ids"])
[0, 1, 2, 3, 4]
[0, 1, 2, 3, 4]

The input of each function is a path, an iterable of `pathlib.Path`, or an iterable of records: dicts, or
lines as `str` or `bytes`. What pandas and NumPy put into dicts is taken as what it means: their numbers
and arrays as numbers and lists, dates as ISO 8601, NaN and NaT as no value; of a data frame, the rows. Options are those of the program (`trace-stats --help`), with underscores: `max_memory="64Mi"`
is `--max-memory 64Mi`, `shift=True` is `--shift`, `capacity=[10, 20]` is `--capacity 10,20`, and `None` or
`False` leave an option out. An option that is a word of Python's takes a trailing underscore.

A program that fails raises `KvtraceError` with its message; its warnings become `KvtraceWarning`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Union

__all__ = ["KvtraceError", "KvtraceWarning", "cat", "curve", "example", "hash", "program", "stats", "synth"]

try:
    __version__ = metadata.version("kvtrace")
except metadata.PackageNotFoundError:  # imported from a checkout
    __version__ = "0"

#: A small log of prompts to try things on.
example: str = str(Path(__file__).with_name("prompts.jsonl"))

Record = Union[Mapping[str, Any], str, bytes]
Source = Union[str, "os.PathLike[str]", Iterable[Union[Record, "os.PathLike[str]"]]]


class KvtraceError(RuntimeError):
    """A program refused its options (`status` 2) or its input (1). The text is the program's own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class KvtraceWarning(UserWarning):
    """What a program said on its standard error although it succeeded."""


def stats(source: Source, **options: Any) -> dict[str, Any]:
    """The figures of a trace, as `trace-stats --format json` prints them.

    With `window` or `every` there are many; use `program("trace-stats")` and `subprocess` for those.
    """
    for name in ("window", "w", "every", "per_request", "partial"):
        if options.get(name):
            raise TypeError(f"{name}: stats() gives one report; run program('trace-stats') for many lines")
    records = list(_run("trace-stats", source, {**options, "format": "json"}, whole=True))
    return records[0]


def curve(source: Source, **options: Any) -> list[dict[str, Any]]:
    """Hit rates by size of the cache, one dict per policy and size: ready for a data frame.

    `pandas.DataFrame(kvtrace.curve("trace.jsonl", policy=["lru", "opt"]))`
    """
    return stats(source, **{"curve": True, **options})["capacity"]


def hash(source: Source, **options: Any) -> Iterator[dict[str, Any]]:  # noqa: A001 (the filter's name)
    """Prompts to the lines of a trace, as they come out of `trace-hash`."""
    return _run("trace-hash", source, options)


def synth(source: Source, **options: Any) -> Iterator[dict[str, Any]]:
    """New traffic like that of a trace, as it comes out of `trace-synth`; `n` is the number of requests."""
    return _run("trace-synth", source, options)


def cat(source: Source, **options: Any) -> Iterator[dict[str, Any]]:
    """The records of traces of any format as one trace, as they come out of `trace-cat`."""
    return _run("trace-cat", source, options)


def program(name: str) -> str:
    """The path of a program: the one that was installed with this module, else the first in `PATH`."""
    for folder in (sysconfig.get_path("scripts"), os.path.dirname(sys.executable), _beside()):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is neither installed beside this module nor in PATH")
    return path


def _beside() -> str:
    """Where `pip install --target FOLDER` puts programs: `FOLDER/bin` beside the package."""
    return str(Path(__file__).resolve().parent.parent / "bin")


def _arguments(options: Mapping[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        name = name.rstrip("_").replace("_", "-")
        option = f"-{name}" if len(name) == 1 else f"--{name}"
        if value is None or value is False:
            continue
        if value is True:
            arguments.append(option)
            continue
        if not isinstance(value, (str, bytes, os.PathLike)) and isinstance(value, Iterable):
            value = ",".join(str(part) for part in value)
        value = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
        # Joined, so that a value that starts with a hyphen is not taken for an option.
        arguments.append(f"{option}{'' if len(name) == 1 else '='}{value}")
    return arguments


def _paths(source: Source) -> tuple[list[str], Iterable[Any]]:
    """What `source` is: paths for the command line, or records for standard input."""
    if isinstance(source, (str, os.PathLike)):
        return [os.fspath(source)], ()
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a data frame
        source = source.to_dict("records")
    records = iter(source)
    first = next(records, None)
    if isinstance(first, os.PathLike):
        return [os.fspath(path) for path in (first, *records)], ()
    if isinstance(first, str) and os.path.exists(first):
        raise TypeError(f"{first!r} in an iterable is a line, but it names a file: use pathlib.Path({first!r})")
    return [], () if first is None else _chain(first, records)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _run(name: str, source: Source, options: Mapping[str, Any], whole: bool = False) -> Iterator[dict[str, Any]]:
    """The records that a program writes: one per line, or its `whole` output as one."""
    paths, records = _paths(source)
    command = [program(name), *_arguments(options), "--", *paths]
    with tempfile.TemporaryFile() as errors:
        stdin = subprocess.DEVNULL if paths else subprocess.PIPE
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors)
        assert child.stdout is not None
        failure: list[BaseException] = []
        feeder = None
        if child.stdin is not None:
            feeder = threading.Thread(target=_feed, args=(child.stdin, records, failure), daemon=True)
            feeder.start()
        try:
            if whole:
                output = child.stdout.read()
            else:
                for line in child.stdout:
                    if not line.endswith(b"\n"):
                        break  # It died while it wrote this line.
                    yield json.loads(line)
        except GeneratorExit:
            # The caller has had enough, as `head` has.
            child.kill()
            raise
        finally:
            child.stdout.close()
            status = child.wait()
            if feeder is not None and status >= 0:
                feeder.join()
        if failure:
            raise failure[0]
        errors.seek(0)
        message = errors.read().decode(errors="replace").strip()
        if status:
            raise KvtraceError(status, message or f"{name} ended with status {status}")
        if message:
            warnings.warn(message, KvtraceWarning, stacklevel=3)
        if whole:
            yield json.loads(output)


def _line(record: Mapping[str, Any]) -> str:
    """A record as JSON, without the fields that have no value."""
    fields = {name: _plain(value) for name, value in record.items()}
    return json.dumps({name: value for name, value in fields.items() if value is not None}, default=_plain)


def _plain(value: Any) -> Any:
    """Of numbers and arrays of NumPy, and of dates, what JSON has for them; `None` for NaN and NaT."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    elif hasattr(value, "isoformat"):
        value = None if value != value else value.isoformat()
    elif not isinstance(value, (str, int, float, bool, list, tuple, Mapping, type(None))):
        raise TypeError(f"{type(value).__name__} in a record is nothing that JSON has")
    return None if isinstance(value, float) and math.isnan(value) else value


def _feed(stdin: IO[bytes], records: Iterable[Any], failure: list[BaseException]) -> None:
    try:
        with stdin:
            for record in records:
                if isinstance(record, Mapping):
                    record = _line(record)
                if isinstance(record, str):
                    record = record.encode()
                stdin.write(record.rstrip(b"\r\n") + b"\n")
    except BrokenPipeError:
        pass  # The program has ended, and its status says why.
    except BaseException as error:  # noqa: BLE001 (it is raised again in the caller's thread)
        failure.append(error)
