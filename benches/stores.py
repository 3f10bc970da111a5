#!/usr/bin/env python3
"""Measures audited tool calls on SQLite and on PostgreSQL with one, two and three replicas, in one run.

Usage: benches/stores.py [--seconds N] [--rounds N] [--profile P] [--no-build]

PostgreSQL is a private cluster with fsync on, on the same cores; only as many replicas run as are
loaded. Each of them is loaded by a wrk of its own with its share of the connections, so that no
balancer's time is counted. Needs wrk and PostgreSQL's programs (Debian packages: wrk, postgresql);
everything is on loopback and is stopped at the end.
"""

import argparse
import base64
import concurrent.futures
import glob
import os
import pathlib
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from load import ROOT, SESSIONS, Api, cpu_seconds, free_port, wait_for_port, wrk  # noqa: E402

CONNECTIONS = 64
REPLICAS_MAX = 3
LOG_FILES = 60
PUBLIC_URL = "http://proctor.bench"


def start_postgres(folder, start):
    """A cluster with Debian's settings, as an unprivileged user."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    if not programs:
        sys.exit("PostgreSQL is missing: apt-get install postgresql")
    programs = pathlib.Path(programs[-1])
    as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    data = folder / "postgres"
    data.mkdir()
    if as_user:
        folder.chmod(0o755)
        shutil.chown(data, "postgres", "postgres")
    subprocess.run([*as_user, programs / "initdb", "-D", data, "-U", "proctor", "-A", "trust"],
                   check=True, capture_output=True, cwd="/")
    port = free_port()
    pid = start("postgres", *as_user, programs / "postgres", "-D", data, "-p", port, "-k", data,
          "-c", "listen_addresses=127.0.0.1", "-c", "min_wal_size=1GB")
    wait_for_port(port)
    psql = [programs / "psql", "-q", "-o", "/dev/null", f"postgres://proctor@127.0.0.1:{port}/postgres"]
    subprocess.run([*psql, "-c", "CREATE DATABASE proctor"], check=True)
    # One that has been in use has log files to write over, as SQLite's has after the warm-up.
    for _ in range(LOG_FILES):
        subprocess.run([*psql, "-c", "SELECT pg_switch_wal() FROM pg_logical_emit_message(true, '', '')"], check=True)
    subprocess.run([*psql, "-c", "CHECKPOINT"], check=True)
    return pid, f"postgres://proctor@127.0.0.1:{port}/proctor"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=int, default=6, help="length of one measured run (6)")
    options.add_argument("--rounds", type=int, default=3, help="how often each is measured, in turn (3)")
    options.add_argument("--profile", default="dist", help="which build is measured (dist)")
    options.add_argument("--no-build", action="store_true", help="measure the binaries as they are")
    options = options.parse_args()
    if not options.no_build:
        subprocess.run(
            ["cargo", "build", "--profile", options.profile, "-q", "-p", "proctor", "-p", "proctor-test-upstream"],
            cwd=ROOT, check=True,
        )
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / options.profile
    folder = pathlib.Path(tempfile.mkdtemp(prefix="proctor-stores-"))
    started = []

    def start(name, *command, **environment):
        log = open(folder / f"{name}.log", "w")
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd="/",
                                   env={**os.environ, **environment})
        started.append(process)
        return process.pid

    def stop(pid):
        process = next(one for one in started if one.pid == pid)
        started.remove(process)
        process.terminate()
        process.wait(timeout=20)

    try:
        upstream = free_port()
        start("upstream", target / "fast-upstream", upstream)
        wait_for_port(upstream)
        postgres, url = start_postgres(folder, start)
        key, master = secrets.token_hex(24), base64.b64encode(secrets.token_bytes(32)).decode()

        def serve(name, **environment):
            port = free_port()
            pid = start(name, target / "proctor", "serve", "--data-dir", folder / name,
                        "--listen", f"127.0.0.1:{port}", PROCTOR_MASTER_KEY=master, PROCTOR_ADMIN_KEY=key,
                        PROCTOR_PUBLIC_URL=PUBLIC_URL, **environment)
            wait_for_port(port)
            return pid, port

        def prepare(port):
            api = Api(port, key)
            api("POST", "/api/v1/connections", {
                "name": "fast", "transport": {"type": "http", "url": f"http://127.0.0.1:{upstream}/mcp"},
                "auth": {"type": "none"}, "private_network": True,
            })
            api("POST", "/api/v1/connections/fast/catalog/refresh")
            api("POST", "/api/v1/virtual-servers", {"name": "load", "tools": [{"connection": "fast", "tool": "echo"}]})
            mint = {"virtual_server": "load", "limits": {"calls_max": 100_000}}
            return [api("POST", "/api/v1/sessions", {**mint, "user": f"user-{n}"})["token"] for n in range(SESSIONS)]

        sqlite = serve("sqlite")
        replicas = [serve("replica-0", DATABASE_URL=url)]
        tokens = {"sqlite": prepare(sqlite[1]), "postgres": prepare(replicas[0][1])}
        setups = {"SQLite": 0} | {f"PostgreSQL, replicas: {n}": n for n in range(1, REPLICAS_MAX + 1)}

        def servers_of(count):
            """As many replicas as that, and no more of them; none stands for SQLite."""
            while len(replicas) > max(count, 1):
                stop(replicas.pop()[0])
            while len(replicas) < count:
                replicas.append(serve(f"replica-{len(replicas)}", DATABASE_URL=url))
                load(count, 2)
            return (replicas[:], tokens["postgres"]) if count else ([sqlite], tokens["sqlite"])

        def load(count, seconds):
            """All servers at once; calls/s are added up, the middle of the medians stands for p50."""
            servers, tokens = servers_of(count)
            folders = [folder / f"wrk-{n}" for n in range(len(servers))]
            for one in folders:
                one.mkdir(exist_ok=True)
            before = sum(cpu_seconds(pid) for pid, _ in servers), cpu_seconds(postgres)
            with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
                runs = [
                    pool.submit(wrk, folders[n], port, "/mcp/load", tokens[n::len(servers)],
                                CONNECTIONS // len(servers), seconds)
                    for n, (_, port) in enumerate(servers)
                ]
                found = [run.result() for run in runs]
            calls = sum(one["calls"] for one in found)
            return {
                "rate": sum(one["rate"] for one in found),
                "p50": statistics.median(one["p50"] for one in found),
                "p99": max(one["p99"] for one in found),
                "cpu": (sum(cpu_seconds(pid) for pid, _ in servers) - before[0]) * 1e6 / calls,
                "postgres": (cpu_seconds(postgres) - before[1]) * 1e6 / calls,
            }

        for count in setups.values():
            load(count, 2)
        results = {name: [] for name in setups}
        for _ in range(options.rounds):
            for name, count in setups.items():
                results[name].append(load(count, options.seconds))
        print(f"\n{CONNECTIONS} connections, median of {options.rounds} rounds of {options.seconds} s\n")
        print("| | calls/s | beside SQLite | p50 µs | p99 µs | CPU µs a call | PostgreSQL's |\n"
              "|---|---:|---:|---:|---:|---:|---:|")
        rates = {}
        for name, rounds in results.items():
            middle = {field: statistics.median(one[field] for one in rounds) for field in rounds[0]}
            rates[name] = middle["rate"]
            print(f"| {name} | {middle['rate']:,.0f} | {middle['rate'] / rates['SQLite']:.2f} | {middle['p50']:,.0f} "
                  f"| {middle['p99']:,.0f} | {middle['cpu']:.1f} | {middle['postgres']:.1f} |")
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
