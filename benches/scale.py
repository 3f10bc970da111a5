#!/usr/bin/env python3
"""Measures what many sessions cost: memory of live entities, and starting on a long journal.

Usage: benches/scale.py [--live N] [--sessions N] [--no-build]

Mints sessions over HTTP, makes one call with each of the first ones so that their entities live,
reads the process's memory, waits until idle entities have stopped, mints the rest, and starts
again on the same folder. Everything runs on loopback and is stopped at the end.
"""

import argparse
import base64
import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from load import ROOT, free_port, wait_for_port  # noqa: E402

CALL = json.dumps(
    {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {
            "name": "echo", "arguments": {"text": "x"},
            "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientCapabilities": {},
            },
        },
    }
)


def resident_megabytes(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Connection:
    """One kept-alive connection to the server."""

    def __init__(self, port, key):
        self.http, self.key = http.client.HTTPConnection("127.0.0.1", port, timeout=60), key

    def __call__(self, method, path, body=None, token=None, **headers):
        headers = {"Authorization": f"Bearer {token or self.key}", "Content-Type": "application/json",
                   **{name.replace("_", "-"): value for name, value in headers.items()}}
        self.http.request(method, path, body if isinstance(body, str) else json.dumps(body or {}), headers)
        answer = self.http.getresponse()
        text = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {text.decode()}")
        return json.loads(text)


def in_parallel(count, work, threads=8):
    """Calls work(connection maker's thread number, n) for n below count, on a few threads."""
    numbers, lock = iter(range(count)), threading.Lock()

    def run(thread):
        while True:
            with lock:
                n = next(numbers, None)
            if n is None:
                return
            work(thread, n)

    running = [threading.Thread(target=run, args=(thread,)) for thread in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--live", type=int, default=10_000, help="sessions whose entities live at once (10000)")
    options.add_argument("--sessions", type=int, default=100_000, help="sessions in the journal at the restart (100000)")
    options.add_argument("--no-build", action="store_true", help="measure the binaries as they are")
    options = options.parse_args()
    if not options.no_build:
        subprocess.run(
            ["cargo", "build", "--release", "-q", "-p", "proctor", "-p", "proctor-test-upstream"], cwd=ROOT, check=True
        )
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="proctor-scale-"))
    key, master = secrets.token_hex(24), base64.b64encode(secrets.token_bytes(32)).decode()
    started = []

    def start(*command, **environment):
        with open(folder / "log", "a") as log:
            process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log,
                                       env={**os.environ, **environment})
        started.append(process)
        return process

    def serve(idle):
        port = free_port()
        begun = time.monotonic()
        process = start(target / "proctor", "serve", "--data-dir", folder / "data", "--listen", f"127.0.0.1:{port}",
                        PROCTOR_MASTER_KEY=master, PROCTOR_ADMIN_KEY=key, PROCTOR_ENTITY_IDLE_SECONDS=str(idle))
        while True:
            try:
                ready = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                ready.request("GET", "/readyz")
                if ready.getresponse().status == 200:
                    return process, port, time.monotonic() - begun
            except OSError:
                pass
            if process.poll() is not None or time.monotonic() - begun > 60:
                sys.exit("the server did not start: " + (folder / "log").read_text()[-2_000:])
            time.sleep(0.01)

    try:
        upstream_port = free_port()
        start(target / "fast-upstream", upstream_port)
        wait_for_port(upstream_port)
        server, port, took = serve(idle=30)
        print(f"start on an empty folder: {took:.2f} s")
        api = Connection(port, key)
        api("POST", "/api/v1/connections", {
            "name": "fast", "transport": {"type": "http", "url": f"http://127.0.0.1:{upstream_port}/mcp"},
            "auth": {"type": "none"}, "private_network": True,
        })
        api("POST", "/api/v1/virtual-servers", {"name": "scale", "tools": [{"connection": "fast", "tool": "echo"}]})
        before = resident_megabytes(server.pid)
        lines = [Connection(port, key) for _ in range(8)]

        def mint(thread, n):
            return lines[thread]("POST", "/api/v1/sessions", {
                "virtual_server": "scale", "user": f"user-{n % 1000}", "ttl_seconds": 86_400,
            })["token"]

        def mint_and_call(thread, n):
            lines[thread]("POST", "/mcp/scale", CALL, token=mint(thread, n), Accept="application/json, text/event-stream",
                          MCP_Protocol_Version="2026-07-28", Mcp_Method="tools/call", Mcp_Name="echo")

        begun = time.monotonic()
        in_parallel(options.live, mint_and_call)
        print(f"{options.live} sessions minted and used in {time.monotonic() - begun:.0f} s")
        print(f"memory with their entities alive: {resident_megabytes(server.pid):.0f} MB (before: {before:.0f} MB)")
        time.sleep(75)  # Twice the idle time: whoever was used in the first half stops in the second.
        print(f"memory after they were idle: {resident_megabytes(server.pid):.0f} MB")
        in_parallel(max(options.sessions - options.live, 0), mint)
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        _, _, took = serve(idle=300)
        print(f"start with {options.sessions} sessions in the journal: {took:.2f} s")
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
