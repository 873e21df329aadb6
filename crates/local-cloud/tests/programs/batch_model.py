#!/usr/bin/env python3
"""A model server for batch transform. The words of its input choose its behaviour."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def note(text):
    """Adds a line to the notes of the test."""
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(text + "\n")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the body of an answer waits 40 ms for the receipt of its head.
    disable_nagle_algorithm = True

    def answer(self, status, body, content_type="text/plain"):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/execution-parameters":
            if "PARAMETERS" in os.environ:
                self.answer(200, os.environ["PARAMETERS"].encode(), "application/json")
            else:
                self.answer(404, b"")
        else:
            self.answer(200, b"")

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def do_POST(self):
        body = self.body()
        kind = os.environ.get("ANSWER", "upper")
        words = body.decode(errors="replace")
        chunked = " chunked" if self.headers.get("Transfer-Encoding") == "chunked" else ""
        note(f"request {self.headers.get('Content-Type')} {self.headers.get('Accept')}{chunked} {body!r}")
        if "bad" in words:
            return self.answer(400, b"no bad words\nhere")
        if "broken" in words:
            return self.answer(500, b"broken")
        if "die" in words:
            os._exit(9)
        if "slow" in words:
            time.sleep(float(os.environ.get("SLOW", "600")))
        if "once" in words and not os.path.exists(os.environ["NOTES"] + ".once"):
            open(os.environ["NOTES"] + ".once", "w").close()
            return self.answer(503, b"not yet")
        while "wait" in words and not os.path.exists(os.environ["NOTES"] + ".go"):
            time.sleep(0.01)
        if "DELAY" in os.environ:
            time.sleep(float(os.environ["DELAY"]))
        if kind == "upper":
            self.answer(200, words.upper().encode())
        elif kind == "length":
            self.answer(200, str(len(body)).encode())
        elif kind == "sum":
            rows = [line.split(",") for line in words.splitlines()]
            sums = [str(sum(float(field) for field in row)) for row in rows]
            self.answer(200, "\n".join(sums).encode(), "text/csv")
        elif kind == "json":
            answers = [json.dumps({"n": len(json.loads(line))}) for line in words.splitlines() if line]
            self.answer(200, "\n".join(answers).encode(), "application/jsonlines")
        elif kind == "env":
            chosen = {name: value for name, value in os.environ.items() if name.startswith(("SAGEMAKER_", "MINE"))}
            self.answer(200, json.dumps(chosen, sort_keys=True).encode())

    def log_message(self, *_):
        pass


for word in os.environ.get("PRINT", "").split():
    print(word, flush=True)
note("start")
if "EXIT" in os.environ:
    sys.exit(os.environ["EXIT"])
ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
