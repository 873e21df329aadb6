#!/usr/bin/env python3
"""A model server with SageMaker's container contract. Its input chooses its behaviour."""

import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

state = {"at once": 0, "most at once": 0, "busy": 2}
lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    inside = False

    def leave(self):
        with lock:
            state["at once"] -= self.inside
            self.inside = False

    def answer(self, status, body, **headers):
        # The client may send the next request before this thread goes on.
        self.leave()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200, b"")

    def do_POST(self):
        words = self.rfile.read(int(self.headers["Content-Length"])).decode()
        with lock:
            state["at once"] += 1
            state["most at once"] = max(state["most at once"], state["at once"])
            self.inside = True
        try:
            self.respond(words)
        finally:
            self.leave()

    def respond(self, words):
        if words == "die once" and not os.path.exists(os.environ["DIED"]):
            open(os.environ["DIED"], "w").close()
            os._exit(9)
        elif words == "die always":
            os._exit(9)
        elif words == "sleep":
            time.sleep(600)
        elif words == "no length":
            self.leave()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"endless")
        elif words == "chunks":
            self.leave()
            self.protocol_version = "HTTP/1.1"
            self.close_connection = True
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"6\r\nchunks\r\n0\r\n\r\n")
        elif words == "long headers":
            self.answer(200, b"long", X_Why="x" * 5000)
        elif words == "long attributes":
            self.answer(200, b"long", X_Amzn_SageMaker_Custom_Attributes="x" * 1025)
        elif words == "inference id":
            self.answer(200, self.headers.get("X-Amzn-SageMaker-Inference-Id", "none").encode())
        elif words == "refuse":
            self.answer(400, b'{"code":"REFUSED"}')
        elif words == "busy" and state["busy"]:
            state["busy"] -= 1
            self.answer(503, b"busy", Retry_After="0")
        elif words == "at once":
            self.answer(200, str(state["at once"]).encode())
        elif words.startswith("env "):
            self.answer(200, os.environ.get(words[4:], "").encode())
        elif words.startswith("file "):
            with open(os.path.join(os.environ["SM_MODEL_DIR"], words[5:]), "rb") as file:
                self.answer(200, file.read())
        elif words.startswith("read "):
            with open(words[5:], "rb") as file:
                self.answer(200, file.read())
        elif words == "arguments":
            self.answer(200, " ".join(sys.argv[1:]).encode())
        elif words.startswith("wait "):
            while not os.path.exists(words[5:]):
                time.sleep(0.01)
            self.answer(200, b"waited")
        elif words == "count":
            time.sleep(0.2)
            self.answer(200, str(state["most at once"]).encode())
        else:
            attributes = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
            self.answer(200, f"{words} {attributes}".strip().encode(), Content_Type="text/plain; model=test", X_Amzn_SageMaker_Custom_Attributes="engine=test")

    def log_message(self, *_):
        pass


if "EXIT" in os.environ:
    sys.exit(os.environ["EXIT"])
ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
