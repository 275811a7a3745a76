"""Prompts to a trace, as the usual script does it: tokens by tiktoken, blocks numbered by first appearance."""
import json
import sys

import tiktoken

BLOCK = 512
encoding = tiktoken.get_encoding("o200k_base")
numbers = {}
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        row = json.loads(line)
        tokens = encoding.encode_ordinary(row["prompt"])
        parent, ids = -1, []
        for start in range(0, len(tokens), BLOCK):
            key = (parent, tuple(tokens[start : start + BLOCK]))
            parent = numbers.setdefault(key, len(numbers))
            ids.append(parent)
        length = row.get("output_length", 500)
        print(json.dumps({"timestamp": row.get("timestamp", 0), "input_length": len(tokens), "output_length": length, "hash_ids": ids}))
