#!/usr/bin/env python3
"""Statistics of a trace on Spark, exactly those of one machine.

usage: spark-submit spark_stats.py [--partitions N] [--hash] FILE

Each partition is a consecutive piece of FILE, which an executor pipes through
`trace-stats --partial`; the driver puts the pieces in order and pipes them through
`trace-stats --merge`. With --hash FILE has prompts, which the executors hash before:
`trace-hash --ids hash` needs no state, so equal prefixes get equal ids on every machine.
FILE is any path or address that Spark reads. The filters must be on the PATH of every machine,
or in the folder $KVTRACE_BIN.
"""
import argparse
import os
import subprocess
import sys

from pyspark import StorageLevel
from pyspark.sql import SparkSession


def program(name):
    return os.path.join(os.environ.get("KVTRACE_BIN", ""), name)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("file")
    ap.add_argument("--partitions", type=int, default=8)
    ap.add_argument("--hash", action="store_true")
    args = ap.parse_args()
    spark = SparkSession.builder.appName("kvtrace").getOrCreate()
    # Partitions of a file are consecutive and in its order, so no shuffle may come between.
    pieces = spark.sparkContext.textFile(args.file, args.partitions)
    if args.hash:
        pieces = pieces.pipe(f"{program('trace-hash')} -q -j 1 --ids hash", checkCode=True)
    states = pieces.pipe(f"{program('trace-stats')} -q --partial", checkCode=True)
    # All executors work at once; then the driver takes one state after the other, and holds one at a time.
    states.persist(StorageLevel.DISK_ONLY).count()
    merge = subprocess.Popen([program("trace-stats"), "-f", "json", "--merge"], stdin=subprocess.PIPE)
    for line in states.toLocalIterator():
        merge.stdin.write(line.encode() + b"\n")
    merge.stdin.close()
    status = merge.wait()
    spark.stop()
    sys.exit(status)


if __name__ == "__main__":
    main()
