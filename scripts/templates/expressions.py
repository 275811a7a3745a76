"""Evaluates expressions and statements of Jinja with transformers and with trace-hash, and compares the texts.

usage: expressions.py TRACE_HASH

Those that begin with `?` in the lists are known to be refused by trace-hash, and those with `!` to have another text;
they are evaluated, and only counted.
"""

import os
import sys

from compare import oracle, rendered

VARIABLES = {
    "s": "Hello, World", "l": [3, 1, 2], "d": {"a": 1, "b": "x", "c": None}, "n": None, "f": 1.5, "i": 7, "b": True,
    "big": 10**40, "wide": 2**64, "tiny": 1e-7, "nested": {"z": [1, {"y": None, "é": "\u2028"}], "a": {}, "t": [True, 1e-5]},
    "keys": {"items": 1, "keys": 2, "get": 3, "x": 4},
}
CALL = {"type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
REQUEST = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " hi\n"},
        {"role": "assistant", "content": "<think>x</think>\n\nyo", "tool_calls": [CALL]},
        {"role": "user", "content": "bye"},
    ],
    "chat_template_kwargs": VARIABLES,
}


def lines(name):
    with open(os.path.join(os.path.dirname(__file__), name)) as file:
        return [line for line in file.read().split("\n") if line]


def main():
    sources = [("{{ " + line.lstrip("?!") + " }}", line) for line in lines("expressions.txt")]
    sources += [(line.lstrip("?!"), line) for line in lines("statements.txt")]
    wrong = known = 0
    for template, line in sources:
        text, error = oracle(REQUEST, template, False)
        (verdict,), errors = rendered(sys.argv[1], template, [REQUEST], [text])
        if verdict is (None if text is None else True):
            if line.startswith(("?", "!")):
                wrong += 1
                print(f"{template}: equal by now, but marked")
            continue
        if line.startswith("?") and verdict is None or line.startswith("!") and verdict is False:
            known += 1
            continue
        wrong += 1
        print(f"{template}: {text!r} {error or ''} {errors.strip()}")
    print(f"{len(sources)} expressions and statements: {wrong} differ, and {known} as it is known")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
