#!/usr/bin/env python3
"""A model server that asks AWS who it is before it serves."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.request import Request, urlopen

if "EXIT" in os.environ:
    sys.exit(os.environ["EXIT"])
scope = "Credential=A/20261121/us-east-1/sts/aws4_request"
headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}, Signature=0", "Content-Type": "application/x-www-form-urlencoded"}
body = b"Action=GetCallerIdentity&Version=2011-06-15"
with urlopen(Request(os.environ["AWS_ENDPOINT_URL"], body, headers)) as answer:
    assert b"Arn" in answer.read()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


HTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
