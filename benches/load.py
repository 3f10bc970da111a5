#!/usr/bin/env python3
"""Measures audited tool calls under load, beside nginx as a plain proxy of the same upstream.

Usage: benches/load.py [--seconds N] [--rounds N] [--connections N] [--profile P] [--credentials] [--oauth] [--mint]
    [--watched] [--beside BINARY] [--no-build] [--keep]

Builds the binaries as they are deployed (profile dist), starts everything on loopback with free ports and a data folder of its
own, and stops what it started. Needs wrk and nginx (Debian packages: wrk, nginx-light).
"""

import argparse
import base64
import http.client
import http.server
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = 4_096
SESSIONS = 64
RENEWED_SECONDS = 10
ARGUMENT = "x" * 186  # {"text":"…"} is then 200 bytes long.

NGINX = """
worker_processes auto; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream fast {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 10000000; }}
    server {{
        listen 127.0.0.1:{port}; keepalive_requests 10000000;
        location /v1/traces {{ client_max_body_size 64m; return 200; }}
        location / {{ proxy_pass http://fast; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""

WRK = """
local tokens = {{ {tokens} }}
local body = [[{body}]]
local n = 0
function request()
    n = n % #tokens + 1
    return wrk.format("POST", "{path}", {{
        ["Content-Type"] = "application/json",
        ["Accept"] = "application/json, text/event-stream",
        ["MCP-Protocol-Version"] = "2026-07-28",
        ["Mcp-Method"] = "tools/call",
        ["Mcp-Name"] = "echo",
        ["Authorization"] = "Bearer " .. tokens[n],
    }}, body)
end
-- the warm-up alone
local wrong = 0
local shown = 0
function response(status, headers, text)
    if status ~= 200 or not text:find('"result"', 1, true) then
        wrong = wrong + 1
        if shown < 3 then shown = shown + 1; io.stderr:write(status, " ", text, "\\n") end
    end
end
"""

MINT = """
local users = {users}
local n = 0
function request()
    n = n % users + 1
    local body = '{{"virtual_server":"{server}","user":"user-' .. (n - 1) .. '"}}'
    return wrk.format("POST", "/api/v1/sessions", {{
        ["Content-Type"] = "application/json",
        ["Authorization"] = "Bearer {key}",
    }}, body)
end
"""


class AuthorizationServer(http.server.BaseHTTPRequestHandler):
    """Agrees to everything at once. Its tokens end after `seconds`."""

    protocol_version = "HTTP/1.1"
    seconds = 3_600
    renewals = 0

    def do_GET(self):
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        back = urllib.parse.urlencode({"code": secrets.token_hex(16), "state": asked["state"]})
        self.send_response(302)
        self.send_header("Location", f"{asked['redirect_uri']}?{back}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        type(self).renewals += "grant_type=refresh_token" in asked
        tokens = {"access_token": secrets.token_hex(32), "refresh_token": secrets.token_hex(32),
                  "token_type": "Bearer", "expires_in": type(self).seconds}
        body = json.dumps(tokens).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Threads(http.server.ThreadingHTTPServer):
    """Takes as many connections at once as there are accounts."""

    request_queue_size = 4 * SESSIONS


def location(port, method, url, cookie=None):
    """Where a browser is sent on to, and the cookie that it keeps."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Cookie": cookie} if cookie else {}
    if method == "POST":
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    parts = urllib.parse.urlsplit(url)
    client.request(method, parts.path + ("?" + parts.query if parts.query else ""), headers=headers)
    answer = client.getresponse()
    if answer.status not in (302, 303):
        sys.exit(f"{method} {parts.path}: {answer.status} {answer.read().decode()}")
    kept = answer.getheader("Set-Cookie")
    return answer.getheader("Location"), kept.split(";")[0] if kept else None


def connect_by_link(api, port, authorization_port, user, name):
    """What a person does with a hosted link, and what the product's backend does then."""
    account = f"/api/v1/users/{user}/connections/{name}"
    link = api("POST", f"{account}/link", {"return_url": "http://127.0.0.1:1/"})["url"]
    to, cookie = location(port, "POST", link)
    back, _ = location(authorization_port, "GET", to)
    home, _ = location(port, "GET", back, cookie)
    code = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(home).query))["proctor_code"]
    api("POST", f"{account}/verify", {"code": code})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on port {port}")


def processes(pid):
    """The process and its children: nginx works in them."""
    found = [pid]
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def cpu_seconds(pid):
    total = 0
    for one in processes(pid):
        try:
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue  # A child that has just ended: its time is its parent's from now on.
        total += sum(int(field) for field in fields[11:15 if one == pid else 13])
    return total / TICKS


def peak_megabytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1024


class Api:
    def __init__(self, port, key):
        self.base, self.key = f"http://127.0.0.1:{port}", key

    def __call__(self, method, path, body=None):
        request = urllib.request.Request(
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")


def wrk(folder, port, path, tokens, connections, seconds):
    """Calls a tool over and over."""
    body = json.dumps(
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {
                "name": "echo",
                "arguments": {"text": ARGUMENT},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                },
            },
        },
        separators=(",", ":"),
    )
    listed = ", ".join(json.dumps(token) for token in tokens)
    text = WRK.format(tokens=listed, body=body, path=path)
    # Looking at each answer costs the generator: the short warm-up does, the measured run does not.
    text = text if seconds <= 2 else text.split("-- the warm-up alone")[0]
    return run_wrk(folder, text, f"http://127.0.0.1:{port}{path}", connections, seconds)


def mints(folder, port, server, key, connections, seconds):
    """Mints sessions over and over, for all users in turn."""
    text = MINT.format(users=SESSIONS, server=server, key=key)
    return run_wrk(folder, text, f"http://127.0.0.1:{port}/", connections, seconds)


def run_wrk(folder, text, url, connections, seconds):
    script = folder / "wrk.lua"
    script.write_text(text)
    out = subprocess.run(
        ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", script, url],
        check=True, capture_output=True, text=True,
    )
    if out.stderr.strip():
        sys.exit("a request was not answered with a result:\n" + out.stderr)
    found = out.stdout
    if "Non-2xx" in found or "Socket errors" in found:
        sys.exit(found)
    in_us = {"us": 1, "ms": 1_000, "s": 1_000_000}

    def percentile(which):
        value, unit = re.search(rf"{which}%\s+([\d.]+)(us|ms|s)", found).groups()
        return float(value) * in_us[unit]

    requests = int(re.search(r"(\d+) requests in", found).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", found).group(1))
    return {"calls": requests, "rate": rate, "p50": percentile(50), "p99": percentile(99)}


def measure(folder, pid, *run, how=wrk):
    before = cpu_seconds(pid)
    result = how(folder, *run)
    # Projections that lag behind belong to the calls that caused them.
    time.sleep(0.3)
    result["cpu"] = (cpu_seconds(pid) - before) * 1e6 / result["calls"]
    return result


def sync_microseconds(folder, times=300):
    """What the disk takes at least for what a commit writes: five pages in a file that has its length."""
    with open(folder / "sync", "wb") as file:
        file.write(b"x" * (PAGE * 1_000))
        os.fsync(file.fileno())
        took = []
        for n in range(times):
            os.pwrite(file.fileno(), b"y" * (PAGE * 5), n % 200 * 5 * PAGE)
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(took)


def scrape(port):
    """Reads the metrics every few seconds, more often than usual."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read()
        except OSError:
            return  # The run is over.
        time.sleep(5)


def row(name, result):
    print(f"| {name} | {result['rate']:,.0f} | {result['p50']:,.0f} | {result['p99']:,.0f} | {result['cpu']:.1f} |")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=8, help="length of one measured run (8)")
    options.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn (3)")
    options.add_argument("--connections", type=int, default=64)
    options.add_argument("--keep", action="store_true", help="keep the data folder and print where it is")
    options.add_argument("--profile", default="dist", help="which build is measured (dist)")
    options.add_argument("--credentials", action="store_true",
                         help="measure one shared secret and every user's own as well")
    options.add_argument("--oauth", action="store_true",
                         help="measure tokens of an authorization server as well, long-lived and ever renewed")
    options.add_argument("--mint", action="store_true",
                         help="measure the minting of sessions, without an account and with one")
    options.add_argument("--watched", action="store_true",
                         help="measure one more server that tells a collector of every call and whose metrics are read")
    options.add_argument("--beside", type=pathlib.Path, metavar="BINARY",
                         help="measure another build as well, such as one of an older version")
    options.add_argument("--no-build", action="store_true", help="measure the binaries as they are")
    options = options.parse_args()
    # Whoever ends this ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    for tool in ("wrk", "nginx"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: apt-get install wrk nginx-light")
    if not options.no_build:
        subprocess.run(
            ["cargo", "build", "--profile", options.profile, "-q", "-p", "proctor", "-p", "proctor-test-upstream"],
            cwd=ROOT, check=True,
        )
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / options.profile
    folder = pathlib.Path(tempfile.mkdtemp(prefix="proctor-load-"))
    started = []

    def start(name, *command, **environment):
        log = open(folder / f"{name}.log", "w")
        process = subprocess.Popen(
            [str(part) for part in command], stdout=log, stderr=log, env={**os.environ, **environment}
        )
        started.append(process)
        return process.pid

    try:
        upstream_port, nginx_port, port = free_port(), free_port(), free_port()
        upstream_pid = start("upstream", target / "fast-upstream", upstream_port)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream_port, port=nginx_port))
        nginx_pid = start("nginx", "nginx", "-e", folder / "nginx.err", "-c", folder / "nginx.conf")
        key = secrets.token_hex(24)

        def serve(name, binary, port, **environment):
            pid = start(
                name, binary, "serve", "--data-dir", folder / name, "--listen", f"127.0.0.1:{port}",
                PROCTOR_MASTER_KEY=base64.b64encode(secrets.token_bytes(32)).decode(), PROCTOR_ADMIN_KEY=key,
                **environment,
            )
            wait_for_port(port)
            return pid

        for one in (upstream_port, nginx_port):
            wait_for_port(one)
        pid = serve("proctor", target / "proctor", port)
        api = Api(port, key)

        def sessions(name, auth, api=api):
            """Tokens for a virtual server over a connection of its own, both of this name."""
            api("POST", "/api/v1/connections", {
                "name": name, "transport": {"type": "http", "url": f"http://127.0.0.1:{upstream_port}/mcp"},
                "auth": auth, "private_network": True,
            })
            users = [f"user-{n}" for n in range(SESSIONS)]
            if auth["type"] == "oauth2":
                for user in users:
                    connect_by_link(api, port, authorization.server_port, user, name)
                api("POST", f"/api/v1/connections/{name}/catalog/refresh?user={users[0]}")
            if auth["type"] == "bearer":
                for user in users:
                    credential = {"type": "bearer", "token": secrets.token_hex(32)}
                    api("PUT", f"/api/v1/users/{user}/connections/{name}/credential", credential)
                api("POST", f"/api/v1/connections/{name}/catalog/refresh?user={users[0]}")
            api("POST", "/api/v1/virtual-servers", {"name": name, "tools": [{"connection": name, "tool": "echo"}]})
            wish = {"virtual_server": name, "limits": {"calls_max": 100_000}}
            return [api("POST", "/api/v1/sessions", {**wish, "user": user})["token"] for user in users]

        tokens = sessions("load", {"type": "none"})

        targets = {
            "direct": (upstream_pid, upstream_port, "/mcp", ["none"]),
            "nginx": (nginx_pid, nginx_port, "/mcp", ["none"]),
            "Proctor": (pid, port, "/mcp/load", tokens),
        }
        others = {}
        if options.beside:
            others["Proctor, the other build"] = (options.beside, {})
        if options.watched:
            collector = f"http://127.0.0.1:{nginx_port}"
            others["Proctor, watched"] = (target / "proctor", {
                "OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_TRACES_SAMPLER_ARG": "1"})
        for name, (binary, environment) in others.items():
            other_port = free_port()
            other = serve(name.replace(" ", "-"), binary, other_port, **environment)
            other_tokens = sessions("load", {"type": "none"}, Api(other_port, key))
            targets[name] = (other, other_port, "/mcp/load", other_tokens)
            if name == "Proctor, watched":
                threading.Thread(target=scrape, args=(other_port,), daemon=True).start()
        if options.mint and not options.credentials:
            sessions("own", {"type": "bearer"})
        authorization = Threads(("127.0.0.1", 0), AuthorizationServer)
        threading.Thread(target=authorization.serve_forever, daemon=True).start()
        if options.oauth:
            there = f"http://127.0.0.1:{authorization.server_port}"
            oauth2 = {"type": "oauth2", "client_id": "proctor", "authorization_endpoint": f"{there}/authorize",
                      "token_endpoint": f"{there}/token"}
            targets["Proctor, OAuth"] = (pid, port, "/mcp/oauth", sessions("oauth", oauth2))
            AuthorizationServer.seconds = RENEWED_SECONDS
            targets["Proctor, OAuth renewed"] = (pid, port, "/mcp/renewed", sessions("renewed", oauth2))
        if options.oauth or options.credentials:
            secret = {"type": "header", "name": "Authorization", "value": f"Bearer {secrets.token_hex(32)}"}
            targets["Proctor, one secret"] = (pid, port, "/mcp/shared", sessions("shared", secret))
        if options.credentials:
            targets["Proctor, each user's"] = (pid, port, "/mcp/own", sessions("own", {"type": "bearer"}))
        for process, *where in targets.values():
            wrk(folder, *where, 8, 2)
        results = {name: [] for name in targets}
        single = {name: [] for name in targets}
        renewals = AuthorizationServer.renewals
        begun = time.monotonic()
        for _ in range(options.rounds):
            for name, (process, *where) in targets.items():
                results[name].append(measure(folder, process, *where, options.connections, options.seconds))
                single[name].append(measure(folder, process, *where, 1, max(options.seconds // 2, 3)))

        minted = {name: [] for name in ("load", "own") if options.mint}
        for _ in range(options.rounds):
            for name, found in minted.items():
                found.append(measure(folder, pid, port, name, key, options.connections, options.seconds, how=mints))

        def middle(rounds):
            return {field: statistics.median(one[field] for one in rounds) for field in rounds[0]}

        for connections, found in ((options.connections, results), (1, single)):
            print(f"\n{connections} connections, median of {options.rounds} rounds of {options.seconds} s\n")
            print("| | calls/s | p50 µs | p99 µs | CPU µs a call |\n|---|---:|---:|---:|---:|")
            for name, rounds in found.items():
                row(name, middle(rounds))
        if minted:
            print(f"\nMinting, {options.connections} connections, median of {options.rounds} rounds\n")
            print("| | mints/s | p50 µs | p99 µs | CPU µs a mint |\n|---|---:|---:|---:|---:|")
            for name, what in (("load", "without an account"), ("own", "with each user's own account")):
                row(what, middle(minted[name]))
        ours, nginx, direct = middle(results["Proctor"]), middle(results["nginx"]), middle(single["direct"])
        print(f"\nCPU of a call beside nginx's: {ours['cpu'] / nginx['cpu']:.2f}")
        print(f"throughput beside nginx's:    {ours['rate'] / nginx['rate']:.2f}")
        for name in others:
            other = middle(results[name])
            print(f"beside Proctor, {name[9:]}: CPU of a call {other['cpu'] / ours['cpu']:.2f}, "
                  f"throughput {other['rate'] / ours['rate']:.2f}, "
                  f"p50 at one connection {middle(single[name])['p50'] / middle(single['Proctor'])['p50']:.2f}")
        if options.oauth:
            shared = middle(results["Proctor, one secret"])
            for name in ("Proctor, OAuth", "Proctor, OAuth renewed"):
                print(f"CPU of a call beside one secret, {name[9:]}: {middle(results[name])['cpu'] / shared['cpu']:.2f}")
            per_second = (AuthorizationServer.renewals - renewals) / (time.monotonic() - begun)
            print(f"renewals a second, of {SESSIONS} accounts whose tokens end after {RENEWED_SECONDS} s: {per_second:.1f}")
        if options.credentials:
            shared, own = middle(results["Proctor, one secret"]), middle(results["Proctor, each user's"])
            print(f"CPU of a call with each user's own beside one secret: {own['cpu'] / shared['cpu']:.2f}")
        print(f"p50 above the direct call, one connection: {middle(single['Proctor'])['p50'] - direct['p50']:.0f} µs")
        print(f"what the disk takes of it, for each of two commits: {sync_microseconds(folder):.0f} µs")
        print(f"peak memory: {peak_megabytes(pid):.0f} MB")
        if options.keep:
            print(f"kept: {folder}")
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
