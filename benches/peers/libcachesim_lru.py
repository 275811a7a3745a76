"""libCacheSim's LRU at one capacity: its own loop in C, over accesses in its own binary format (oracleGeneral).

usage: libcachesim_lru.py ACCESSES CAPACITY
       libcachesim_lru.py --write TRACE.jsonl ACCESSES
"""
import json
import struct
import sys

import libcachesim

if sys.argv[1] == "--write":
    row = struct.Struct("<IQIq")
    with open(sys.argv[2], encoding="utf-8") as lines, open(sys.argv[3], "wb") as out:
        for line in lines:
            # A request uses its blocks from last to first; ids begin with 1 there.
            out.write(b"".join(row.pack(0, block + 1, 1, -1) for block in reversed(json.loads(line)["hash_ids"])))
else:
    reader = libcachesim.TraceReader(sys.argv[1], libcachesim.TraceType.ORACLE_GENERAL_TRACE)
    print(libcachesim.LRU(int(sys.argv[2])).process_trace(reader))
