"""What the checks that run other projects' programs have in common: the filters and the peers as commands of a
shell, a mock server, and a table of what was found."""
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = pathlib.Path(os.environ.get("KVTRACE_BIN", ROOT / "target" / "release"))
REAL = pathlib.Path(os.environ.get("KVTRACE_REAL", ROOT.parent / "shared"))
MODEL = ROOT / "examples/model"


def read(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def text(message):
    content = message["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def asked(body):
    """How many tokens a request asks for."""
    return body.get("max_completion_tokens") or body["max_tokens"]


def same(ours, theirs, what):
    if ours != theirs:
        raise AssertionError(f"{what}: {ours} here, {theirs} there")


class Peers:
    """Commands that run in a folder of their own, with the filters, and the programs of virtual environments there."""

    def __init__(self, folder, only):
        self.work, self.only, self.rows = folder, only, []
        folder.mkdir(parents=True, exist_ok=True)
        if "KVTRACE_BIN" not in os.environ:
            subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
        self.env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C",
                    "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
        # A tokenizer as if it had been fetched before: peers take a name, and look for it there.
        revision = "0" * 40
        cache = folder / "hf" / "hub" / "models--kvtrace--model"
        (cache / "refs").mkdir(parents=True, exist_ok=True)
        (cache / "refs" / "main").write_text(revision)
        shutil.copytree(MODEL, cache / "snapshots" / revision, dirs_exist_ok=True)

    def install(self, name, packages, python=sys.executable):
        """Puts the programs of packages on the path."""
        venv = self.work / name
        if not (venv / "done").exists():
            subprocess.run([python, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin/pip", "install", "-q", *packages], check=True)
            (venv / "done").touch()
        self.env["PATH"] = f"{BIN}:{venv}/bin:{self.env['PATH']}"

    def sh(self, command, **kw):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=self.work, env=self.env, check=True, **kw)

    def output(self, command):
        return self.sh(command, stdout=subprocess.PIPE, text=True).stdout

    def figures(self, command):
        return json.loads(self.output(command))

    def check(self, name, what):
        """Decorates a check: it returns what was found, or raises."""
        def run(function):
            if self.only not in name:
                return
            try:
                found, verdict = function(), "accepted"
            except Exception as error:  # noqa: BLE001, whatever a peer does is a result
                found, verdict = f"{type(error).__name__}: {error}", "FAILED"
            self.rows.append((name, what, verdict, found))
            print(f"{verdict}: {name}: {what}: {found}", flush=True)
        return run

    @contextlib.contextmanager
    def server(self, name, seconds_per_token=0.0):
        """A mock server; gives its port and the file of the requests that it got."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = self.work / f"{name}.log.jsonl"
        log.unlink(missing_ok=True)
        script = ROOT / "scripts/peers/mock_server.py"
        child = subprocess.Popen([sys.executable, script, str(port), log, str(seconds_per_token)])
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield port, log
        finally:
            child.terminate()
            child.wait()

    def end(self):
        """Prints what was found, and ends with 1 if a peer disagrees."""
        print("\n| peer | what it read | | found |\n|---|---|---|---|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")
        sys.exit(any(verdict != "accepted" for _, _, verdict, _ in self.rows))
