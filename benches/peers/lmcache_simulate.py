"""LMCache's cache simulator at one capacity: its own loop, over a lookup log.

usage: lmcache_simulate.py LOG CAPACITY
       lmcache_simulate.py --write TRACE.jsonl LOG
"""
import json
import sys
from pathlib import Path

if sys.argv[1] == "--write":
    with open(sys.argv[2], encoding="utf-8") as lines, open(sys.argv[3], "w", encoding="utf-8") as out:
        for row in map(json.loads, lines):
            chunks = [hex(block) for block in row["hash_ids"][: row["input_length"] // 512]]
            event = {"timestamp": row["timestamp"] / 1000, "seq_len": row["input_length"], "chunk_size": 512}
            print(json.dumps({**event, "chunk_hashes": chunks}), file=out)
else:
    from lmcache.tools.cache_simulator.simulator import load_lookup_events, simulate

    result = simulate(load_lookup_events([Path(sys.argv[1])]), int(sys.argv[2]), 1, fast=True)
    print(result["total_hit_tokens"], result["total_tokens"])
