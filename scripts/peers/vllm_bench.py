#!/usr/bin/env python3
"""Runs the load generator of vLLM, `vllm bench serve`, without an engine.

usage: vllm_bench.py FOLDER [OPTION OF vllm bench serve]...

FOLDER is an unpacked wheel of vLLM. Its folder vllm/benchmarks runs as it stands; the modules that
belong to the engine, and want torch, are stood in for: those that only name types by empty ones, the
three of which the load generator calls something by what follows.
"""
import argparse
import asyncio
import gc
import importlib.abc
import importlib.machinery
import sys
import types

CALLED = {
    "vllm.utils.argparse_utils": {"FlexibleArgumentParser": argparse.ArgumentParser},
    "vllm.utils.gc_utils": {"freeze_gc_heap": gc.freeze},
    "vllm.utils.network_utils": {"join_host_port": lambda host, port: f"{host}:{port}"},
}


class Stand(types.ModuleType):
    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "init_logger":
            import logging

            return logging.getLogger
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.startswith("vllm.") and not name.startswith("vllm.benchmarks"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = Stand(spec.name)
        vars(module).update(CALLED.get(spec.name, {}))
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Finder())
vllm = types.ModuleType("vllm")
vllm.__path__ = [sys.argv[1] + "/vllm"]
sys.modules["vllm"] = vllm
from vllm.benchmarks import serve  # noqa: E402


def tokenizer(name, **_):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name)


serve.get_tokenizer = tokenizer
parser = argparse.ArgumentParser()
serve.add_cli_args(parser)
asyncio.run(serve.main_async(parser.parse_args(sys.argv[2:])))
