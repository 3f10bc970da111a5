"""An MCP server on standard input and output that lives by its environment, and tells a digest of it.

Usage: server.py NOTES [needs-key]
NOTES is a file to write down who started with what. With needs-key it does not start without API_KEY.
"""
import hashlib
import json
import os
import sys
import threading
import time

NOTES, OPTIONS = sys.argv[1], sys.argv[2:]
KEY = os.environ.get("API_KEY")
DIGEST = hashlib.sha256(KEY.encode()).hexdigest() if KEY is not None else None
TOOLS = ["whoami", "slow", "spill", "fail"]
writing = threading.Lock()


def note(**what):
    with open(NOTES, "a") as notes:
        notes.write(json.dumps({**what, "pid": os.getpid(), "digest": DIGEST}) + "\n")


def say(message):
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def call(request):
    name, arguments = request["params"]["name"], request["params"].get("arguments", {})
    if name == "slow":
        note(event="slow")
        time.sleep(arguments["milliseconds"] / 1000)
    elif name == "spill":
        for piece in ["the key is ", KEY[:3], KEY[3:], " or ", KEY, "\n"]:
            sys.stderr.write(piece)
            sys.stderr.flush()
            time.sleep(0.02)
    told = {"pid": os.getpid(), "digest": DIGEST, "names": sorted(os.environ)}
    content = [{"type": "text", "text": json.dumps(told)}]
    say({"id": request["id"], "result": {"content": content}})


def answer(message):
    method = message.get("method")
    if method == "initialize":
        info = {"name": "environment", "version": "1"}
        result = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": info}
        say({"id": message["id"], "result": result})
    elif method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        say({"id": message["id"], "result": {"tools": tools}})
    elif method == "tools/call" and message["params"]["name"] == "fail":
        sys.stderr.write(f"cannot go on with {KEY}\n")
        sys.stderr.flush()
        os._exit(3)
    elif method == "tools/call":
        threading.Thread(target=call, args=(message,), daemon=True).start()
    elif "id" in message and method:
        say({"id": message["id"], "error": {"code": -32601, "message": "no such method"}})


if "needs-key" in OPTIONS and KEY is None:
    sys.exit("API_KEY is not set")
note(event="started")
for line in sys.stdin:
    answer(json.loads(line))
note(event="ended")
