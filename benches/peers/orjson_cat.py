"""Validates and copies a trace, as a careful Python script would: one parse per line, with orjson."""
import sys

import orjson

write = sys.stdout.buffer.write
with open(sys.argv[1], "rb") as lines:
    for number, line in enumerate(lines, 1):
        row = orjson.loads(line)
        ids, length = row["hash_ids"], row["input_length"]
        if len(ids) != -(-length // 512):
            sys.exit(f"line {number}: {len(ids)} ids for {length} tokens")
        write(line)
