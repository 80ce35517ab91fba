"""A provider of tokens at loopback addresses, after so many seconds: `python -m benchmarks.provider PORT SECONDS HOST…`."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECONDS = 0.0


class _Tokens(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(SECONDS)
        body = json.dumps({"access_token": "y" * 200, "token_type": "Bearer", "expires_in": 10**7}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    SECONDS = float(sys.argv[2])
    servers = [ThreadingHTTPServer((host, int(sys.argv[1])), _Tokens) for host in sys.argv[3:]]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    servers[0].serve_forever()
