"""Tests of the module; the programs must be in PATH, as `tests/suite/python.rs` sees to."""

import datetime
import doctest
import json
import os
import tempfile
import unittest
import warnings
from pathlib import Path
from unittest import mock

import kvtrace

TRACE = [
    {"timestamp": 0, "input_length": 1500, "output_length": 20, "hash_ids": [0, 1, 2]},
    {"timestamp": 800, "input_length": 1400, "output_length": 35, "hash_ids": [0, 1, 3]},
]


class Module(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name, "trace.jsonl")
        self.path.write_text("".join(json.dumps(record) + "\n" for record in TRACE))

    def test_records_lines_and_paths_are_the_same_input(self):
        expected = kvtrace.stats(TRACE)
        self.assertEqual((expected["requests"], expected["cached_tokens"]), (2, 1024))
        lines = [json.dumps(record) for record in TRACE]
        for source in (str(self.path), self.path, [self.path], iter(TRACE), lines, [line.encode() for line in lines]):
            self.assertEqual(kvtrace.stats(source), expected)
        self.assertEqual(kvtrace.stats([self.path, self.path], quiet=True)["requests"], 4)

    def test_options_are_those_of_the_program(self):
        figures = kvtrace.stats(TRACE, capacity=[1, 2], policy=["lru", "fifo"], ttl=None, progress=False)
        self.assertEqual([row["policy"] for row in figures["capacity"]], ["lru", "lru", "fifo", "fifo", "infinite"])
        self.assertEqual(len(list(kvtrace.synth(TRACE, n=5, seed=3, min_count=1, quiet=True))), 5)

    def test_a_curve_is_a_list_of_rows(self):
        rows = kvtrace.curve(TRACE)
        self.assertEqual(rows[-1]["hit_tokens"], 1024)
        self.assertTrue(all(row.keys() == rows[0].keys() for row in rows))

    def test_prompts_become_lines_one_after_the_other(self):
        prompts = ({"prompt": "ab", "timestamp": n} for n in range(3))
        lines = kvtrace.hash(prompts, tokenizer="bytes", block_size=1, quiet=True)
        self.assertEqual(next(lines)["hash_ids"], [0, 1])
        self.assertEqual(len(list(lines)), 2)

    def test_an_iterator_may_be_left_early(self):
        prompts = ({"prompt": "x" * 1000, "timestamp": n} for n in range(10**9))
        lines = kvtrace.hash(prompts, tokenizer="bytes", quiet=True)
        self.assertEqual(next(lines)["input_length"], 1000)
        lines.close()

    def test_errors_and_warnings_are_the_programs_own(self):
        with self.assertRaisesRegex(kvtrace.KvtraceError, 'trace-stats: -:2: missing field "input_length"') as caught:
            kvtrace.stats([TRACE[0], {"hash_ids": []}])
        self.assertEqual(caught.exception.status, 1)
        with self.assertRaisesRegex(kvtrace.KvtraceError, "--cpaacity") as caught:
            kvtrace.stats(TRACE, cpaacity=3)
        self.assertEqual(caught.exception.status, 2)
        with self.assertWarnsRegex(kvtrace.KvtraceWarning, "skipped"):
            kvtrace.stats([*TRACE, "no record"], skip_invalid=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            kvtrace.stats(TRACE)

    def test_an_error_of_the_records_reaches_the_caller(self):
        def records():
            yield TRACE[0]
            raise ValueError("no more")

        with self.assertRaisesRegex(ValueError, "no more"):
            kvtrace.stats(records())

    def test_what_data_frames_hold_is_taken_as_what_it_means(self):
        class Array:  # as NumPy has them
            def __init__(self, value):
                self.value = value

            def tolist(self):
                return self.value

        class Frame:  # as pandas has them
            columns = ["input_length"]

            def to_dict(self, orient):
                assert orient == "records"
                return [dict(input_length=Array(1024), output_length=float("nan"), hash_ids=Array([1, 2]))]

        plain = [dict(input_length=1024, hash_ids=[1, 2])]
        self.assertEqual(kvtrace.stats(Frame()), kvtrace.stats(plain))
        chat = dict(ts=datetime.datetime(2026, 11, 28, tzinfo=datetime.timezone.utc), prompt="a")
        (line,) = kvtrace.hash([chat], tokenizer="bytes")
        self.assertEqual(line["timestamp"], 1795824000000)
        with self.assertRaisesRegex(TypeError, "object in a record"):
            kvtrace.stats([dict(input_length=object())])
        with self.assertRaisesRegex(TypeError, "window: stats"):
            kvtrace.stats(plain, window="1m")

    def test_a_program_that_is_killed_is_an_error_after_its_whole_lines(self):
        script = self.path.with_name("dies")
        script.write_text('#!/bin/sh\nprintf \'{"n": 1}\\n{"n": \'\nkill -9 $$\n')
        script.chmod(0o755)
        endless = ({"prompt": "x" * 1000} for _ in range(10**9))
        with mock.patch.object(kvtrace, "program", lambda name: os.fspath(script)):
            for function, source in ((kvtrace.cat, self.path), (kvtrace.hash, endless)):
                lines = function(source)
                self.assertEqual(next(lines), {"n": 1})
                with self.assertRaisesRegex(kvtrace.KvtraceError, "ended with status -9") as caught:
                    next(lines)
                self.assertEqual(caught.exception.status, -9)
            with self.assertRaises(kvtrace.KvtraceError):
                kvtrace.stats(self.path)

    def test_the_example_is_there(self):
        trace = kvtrace.hash(kvtrace.example, block_size=16, quiet=True)
        self.assertEqual(kvtrace.stats(trace, block_size=16)["cached_tokens"], 49576)

    def test_the_name_of_a_file_is_no_line(self):
        with self.assertRaisesRegex(TypeError, "pathlib.Path"):
            kvtrace.stats([str(self.path)])


def load_tests(loader, tests, pattern):
    tests.addTests(doctest.DocTestSuite(kvtrace))
    return tests


if __name__ == "__main__":
    unittest.main()
