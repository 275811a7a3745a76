#!/usr/bin/env python3
"""An OpenAI-compatible server without a model: for trying load generators.

usage: mock_server.py PORT LOG.jsonl [SECONDS_PER_TOKEN]

Answers chat and text completions, streamed or whole, with as many words as max_tokens asks for, each of
which takes SECONDS_PER_TOKEN (none by default). When an answer ends, it appends the body of the request to
LOG, with the times at which the request "arrived" and was "answered", in seconds since 1970.
"""
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOG = open(sys.argv[2], "a", encoding="utf-8")
LOCK = threading.Lock()
SECONDS_PER_TOKEN = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0


class Server(ThreadingHTTPServer):
    # A client that is not let in at once comes again a second later.
    request_queue_size = 1024

    def handle_error(self, *client):
        # Load generators drop the connections that they hold in the end.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(*client)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A word is not kept until the one before it has been received.
    disable_nagle_algorithm = True

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
        arrived = time.time()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = "chat" in self.path
        tokens = body.get("max_completion_tokens") or body.get("max_tokens") or 8
        head = {"id": "mock", "created": 0, "model": body.get("model", "mock")}
        streamed = "chat.completion.chunk" if body.get("stream") else "chat.completion"
        head["object"] = streamed if chat else "text_completion"
        usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}

        def choice(text, end):
            reason = "length" if end else None
            if not chat:
                return {"index": 0, "text": text, "finish_reason": reason}
            part = {"role": "assistant", "content": text}
            return {"index": 0, "delta" if body.get("stream") else "message": part, "finish_reason": reason}

        def log():
            with LOCK:
                LOG.write(json.dumps({**body, "arrived": arrived, "answered": time.time()}) + "\n")
                LOG.flush()

        if not body.get("stream"):
            time.sleep(tokens * SECONDS_PER_TOKEN)
            log()
            self.whole({**head, "choices": [choice("word " * tokens, True)], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(tokens):
            time.sleep(max(0, arrived + (n + 1) * SECONDS_PER_TOKEN - time.time()))
            self.event(json.dumps({**head, "choices": [choice("word ", n + 1 == tokens)]}))
        log()
        self.event(json.dumps({**head, "choices": [], "usage": usage}))
        self.event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        data = f"data: {text}\n\n".encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
