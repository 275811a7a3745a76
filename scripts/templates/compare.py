"""Renders random chats by public templates with transformers and with trace-hash, and compares the texts.

usage: compare.py TRACE_HASH FOLDER [CHATS [TEMPLATE ...]]     (FOLDER: what scripts/check-templates fetched)

Exits 1 if a text differs, or trace-hash refuses what transformers accepts. What transformers refuses and
trace-hash accepts is counted, too. $BAD names a file for the cases in question.
"""

import glob
import json
import os
import random
import subprocess
import sys
import tempfile

from chats import Chats
from feed import render, wants_parts

SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
CONFIG = {**SPECIAL, "bos_token": {"content": "<s>", "lstrip": False}}


def templates(folder):
    """Distinct templates by a name."""
    found = {}

    def add(name, text):
        if isinstance(text, str) and text not in found.values():
            found[name] = text

    for path in sorted(glob.glob(f"{folder}/trl/*.jinja")):
        with open(path, newline="") as file:
            add("trl/" + os.path.basename(path).split("chat_templates-")[-1], file.read())
    for path in sorted(glob.glob(f"{folder}/npm/*/tokenizer_config.json")):
        with open(path) as file:
            given = json.load(file).get("chat_template")
        for entry in given if isinstance(given, list) else [{"name": "default", "template": given}]:
            add(f"npm/{path.split('/')[-2]}/{entry['name']}", entry["template"])
    for path in sorted(glob.glob(f"{folder}/xinference/*.json")):
        with open(path) as file:
            models = json.load(file)
        for model in models if isinstance(models, list) else [models]:
            if isinstance(model, dict):
                add(f"xinference/{model.get('model_name')}", model.get("chat_template"))
    return found


def run(trace_hash, arguments, lines):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        command = [trace_hash, "-q", "--tokenizer", "bytes", "--ids", "hash", "--keep", "id", *arguments, file.name]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode not in (0, 1):
        raise SystemExit(f"{command}: {ran.stderr}")
    return [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr


def rendered(trace_hash, template, requests, texts):
    """For each request: None if refused, else whether its text is the right one."""
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/chat_template.jinja", "w", newline="") as file:
            file.write(template)
        with open(f"{folder}/tokenizer_config.json", "w") as file:
            json.dump(CONFIG, file)
        arguments = ["-b", "16777216", "--turns", "last", "--skip-invalid", "--chat-template", folder]
        lines = [{"id": i, **request} for i, request in enumerate(requests)]
        ours, errors = run(trace_hash, arguments, lines)
    # As tokens, since a text that looks like a chat in JSON is read as one.
    prompts = [{"id": i, "prompt_token_ids": list(text.encode())} for i, text in enumerate(texts) if text is not None]
    theirs, _ = run(trace_hash, ["-b", "16777216"], prompts)
    ours, theirs = ({row["id"]: (row["input_length"], row["hash_ids"]) for row in rows} for rows in (ours, theirs))
    return [ours[i] == theirs.get(i) if i in ours else None for i in range(len(requests))], errors


def oracle(request, template, parts):
    try:
        return render(request, template, parts, SPECIAL), None
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def main():
    trace_hash, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    total = {"equal": 0, "different": 0, "refused": 0, "both refuse": 0, "accepted": 0}
    found = templates(folder)
    bad = []
    for number, (name, template) in enumerate(found.items()):
        if len(sys.argv) > 4 and name not in sys.argv[4:]:
            continue
        chats = Chats(random.Random(number))
        requests = [chats.chat() for _ in range(count)]
        parts = wants_parts(template)
        answers = [oracle(request, template, parts) for request in requests]
        verdicts, errors = rendered(trace_hash, template, requests, [text for text, _ in answers])
        counts = dict.fromkeys(total, 0)
        for request, (text, error), verdict in zip(requests, answers, verdicts):
            if text is None:
                kind = "both refuse" if verdict is None else "accepted"
            else:
                kind = "refused" if verdict is None else "equal" if verdict else "different"
            counts[kind] += 1
            if kind in ("different", "refused", "accepted"):
                bad.append({"template": name, "kind": kind, "request": request, "text": text, "error": error})
        for kind, n in counts.items():
            total[kind] += n
        wrong = {kind: n for kind, n in counts.items() if n and kind not in ("equal", "both refuse")}
        if wrong:
            print(f"{name}: {wrong} {errors.strip().splitlines()[:1]}", flush=True)
    print(f"{len(found)} templates, {sum(total.values())} prompts: {total}")
    if os.environ.get("BAD"):
        with open(os.environ["BAD"], "w") as file:
            file.writelines(json.dumps(case) + "\n" for case in bad)
    sys.exit(1 if total["different"] or total["refused"] else 0)


if __name__ == "__main__":
    main()
