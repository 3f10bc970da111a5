#!/usr/bin/env python3
"""Computes domain/tests/leaf-vectors.json from the written format alone (domain/src/leaf.rs).

Run it from anywhere, without arguments. It needs nothing but Python 3.
"""

import hashlib
import json
import pathlib


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def leaf(event: dict) -> str:
    parts = [
        bytes([1]),
        event["position"].to_bytes(8, "big"),
        event["event_id"].encode(),
        event["aggregate_type"].encode(),
        event["aggregate_id"].encode(),
        event["sequence"].to_bytes(8, "big"),
        event["event_type"].encode(),
        event["event_version"].encode(),
        event["recorded_at"].to_bytes(8, "big", signed=True),
        event["payload"].encode(),
        event["metadata"].encode(),
    ]
    return hashlib.sha256(b"\x00" + b"".join(map(field, parts))).hexdigest()


SESSION = "ses_01936f2a-7c1e-7b3a-9d54-0c1f5e8a2b47"
CALL = "call_01936f2a-9e02-7d11-8a6b-3f2c4d5e6f70"
KEY = hashlib.sha256(b"an example key, used nowhere").hexdigest()
SEALED = hashlib.sha256(b"sealed bytes").hexdigest()

EVENTS = [
    {
        "why": "the first event of a journal; empty metadata",
        "position": 1,
        "event_id": "evt_01936f2a-0000-7000-8000-000000000001",
        "aggregate_type": "watch",
        "aggregate_id": "replica-2026-11-22",
        "sequence": 1,
        "event_type": "ReplicaStarted",
        "event_version": "1",
        "recorded_at": 1_795_564_800_000_000,
        "payload": '{"ReplicaStarted":{"by":{"replica":"rep_01936f29-ffff-7abc-8def-0123456789ab"},"program":"0.1.0"}}',
        "metadata": "{}",
    },
    {
        "why": "sealed bytes beside the event",
        "position": 70_000,
        "event_id": "evt_01936f2a-9e03-7aaa-8bbb-cccccccccccc",
        "aggregate_type": "session",
        "aggregate_id": SESSION,
        "sequence": 300,
        "event_type": "ToolCallEnded",
        "event_version": "1",
        "recorded_at": 1_795_564_801_234_567,
        "payload": '{"ToolCallEnded":{"call":"%s","outcome":"succeeded","duration_us":41873,"result_bytes":512}}' % CALL,
        "metadata": '{"sealed":"%s"}' % SEALED,
    },
    {
        "why": "text outside ASCII: lengths count bytes, not characters",
        "position": 2,
        "event_id": "evt_01936f2a-0000-7000-8000-000000000002",
        "aggregate_type": "subject",
        "aggregate_id": "sub_2f1c0a4e-58d3-4b0e-9f77-6a1d2c3b4e5f",
        "sequence": 2,
        "event_type": "SubjectBlocked",
        "event_version": "1",
        "recorded_at": 1_795_564_800_000_001,
        "payload": '{"SubjectBlocked":{"by":{"key":"%s"},"reason":"Gerät verloren 📵"}}' % KEY,
        "metadata": "{}",
    },
    {
        "why": "white space in the stored text counts; a time before the epoch is two's complement",
        "position": 2**63 - 1,
        "event_id": "evt_01936f2a-0000-7000-8000-000000000003",
        "aggregate_type": "connection",
        "aggregate_id": "gmail",
        "sequence": 2**32 + 5,
        "event_type": "ConnectionTested",
        "event_version": "1",
        "recorded_at": -1,
        "payload": '{ "ConnectionTested" : { "by" : { "key" : "%s" }, "failure" : null } }\n' % KEY,
        "metadata": '{"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}',
    },
    {
        "why": "empty fields still have their length",
        "position": 0,
        "event_id": "",
        "aggregate_type": "api_key",
        "aggregate_id": "",
        "sequence": 0,
        "event_type": "ApiKeyRevoked",
        "event_version": "1",
        "recorded_at": 0,
        "payload": '{"ApiKeyRevoked":{"by":{"key":""},"reason":""}}',
        "metadata": "",
    },
]

if __name__ == "__main__":
    vectors = [{**event, "leaf": leaf(event)} for event in EVENTS]
    text = json.dumps(vectors, indent=2, ensure_ascii=False) + "\n"
    pathlib.Path(__file__).with_name("leaf-vectors.json").write_text(text, encoding="utf-8")
