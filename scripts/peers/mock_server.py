#!/usr/bin/env python3
"""An OpenAI-compatible server without a model: for trying load generators.

usage: mock_server.py PORT LOG.jsonl

Answers chat and text completions, streamed or whole, with as many words as max_tokens asks for,
and appends the body of each request to LOG.
"""
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = open(sys.argv[2], "a", encoding="utf-8")
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def whole(self, value, kind="application/json"):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        self.whole({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "kvtrace"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with LOCK:
            LOG.write(json.dumps(body) + "\n")
            LOG.flush()
        chat = "chat" in self.path
        tokens = body.get("max_completion_tokens") or body.get("max_tokens") or 8
        head = {"id": "mock", "created": 0, "model": body.get("model", "mock")}
        head["object"] = ("chat.completion" if chat else "text_completion") + (".chunk" if body.get("stream") else "")
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}

        def choice(text, end):
            reason = "length" if end else None
            if not chat:
                return {"index": 0, "text": text, "finish_reason": reason}
            part = {"role": "assistant", "content": text}
            return {"index": 0, "delta" if body.get("stream") else "message": part, "finish_reason": reason}

        if not body.get("stream"):
            self.whole({**head, "choices": [choice("word " * tokens, True)], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(tokens):
            self.event(json.dumps({**head, "choices": [choice("word ", n + 1 == tokens)]}))
        self.event(json.dumps({**head, "choices": [], "usage": usage}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        data = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
