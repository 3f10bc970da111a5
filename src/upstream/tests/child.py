"""A child process for tests: speaks just enough of either era, and misbehaves on request."""
import json
import os
import subprocess
import sys
import threading
import time

NOTES, ERA = sys.argv[1], sys.argv[2]  # a file to write down what arrived; legacy, modern, picky, mute


def note(text):
    with open(NOTES, "a") as notes:
        notes.write(text + "\n")


def say(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(request, result):
    say({"id": request["id"], "result": result})


def call(request):
    name, arguments = request["params"]["name"], request["params"].get("arguments", {})
    if name == "echo":
        answer(request, {"arguments": arguments, "meta": request["params"].get("_meta")})
    elif name == "sleep":
        time.sleep(arguments["s"])
        answer(request, {"slept": arguments["s"]})
    elif name == "progress":
        token = request["params"]["_meta"]["progressToken"]
        for n in range(3):
            say({"method": "notifications/progress", "params": {"progressToken": token, "progress": n}})
            time.sleep(0.01)
        answer(request, {"token": token})
    elif name == "environment":
        answer(request, {"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid()})
    elif name == "noise":
        sys.stdout.write("not json at all\n\n[]\n")
        say({"id": 123456789, "result": {}})
        say({"id": "ping", "method": "ping"})
        print("some words \x1b[31m", file=sys.stderr, flush=True)
        answer(request, {})
    elif name == "large":
        answer(request, {"text": "x" * arguments["n"]})
    elif name == "die":
        os._exit(3)
    elif name == "silent":
        pass
    elif name == "pid":
        child = subprocess.Popen(["sleep", "600"])
        answer(request, {"pids": [os.getpid(), child.pid]})


note("started")
if ERA == "crash":
    sys.exit(1)
for line in sys.stdin:
    note(line.rstrip("\n"))
    message = json.loads(line)
    method = message.get("method")
    if method == "server/discover":
        if ERA == "modern":
            answer(message, {"supportedVersions": ["2026-07-28"], "capabilities": {}})
        elif ERA == "picky":
            os._exit(1)
        else:
            say({"id": message["id"], "error": {"code": -32601, "message": "?"}})
    elif method == "initialize":
        answer(message, {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "py"}})
    elif method == "tools/call":
        threading.Thread(target=call, args=(message,), daemon=True).start()
    elif method == "tools/list":
        answer(message, {"tools": [{"name": "echo"}]})
note("input closed")
if ERA == "stubborn":
    time.sleep(600)
