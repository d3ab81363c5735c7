#!/usr/bin/env python3
"""Writes the golden files of record format 1 (docs/decisions/001), with an encoder of its own.

It shares no code with the gateway: the two agree because both follow the decision. Output: format-1.json, a list of
segments, each with its keys and values in hex and what a reader must make of them. Run it by hand; the result is
committed and never changes.
"""
import json
import os
import struct
import zlib

STORE = bytes.fromhex("00112233445566778899aabbccddeeff")
EPOCH = 0x1A2B3C4D
STREAM = {"events": 1, "telemetry": 2}


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def zigzag(n):
    return varint((n << 1) ^ (n >> 63) if n >= 0 else ((-n) << 1) - 1)


def text(s):
    b = s.encode()
    return varint(len(b)) + b


def meta(stream, key, obj):
    body = json.dumps(obj, ensure_ascii=False, separators=(",", ":")).encode()
    crc = zlib.crc32(STORE + struct.pack(">BI", STREAM[stream], EPOCH) + key + body)
    return struct.pack(">I", crc) + body


def record(stream, seq, kind, clock, mono, wall, links, content):
    head = bytes([1, kind, clock, 0])
    tail = struct.pack(">dd", mono, wall) + varint(len(links))
    for slot, prev in links:
        tail += varint(slot) + varint(seq - prev)
    tail += content
    crc = zlib.crc32(STORE + struct.pack(">BIQ", STREAM[stream], EPOCH, seq) + head + tail)
    return head + struct.pack(">I", crc) + tail


QUALITY = {"bad": 0, "good": 1, "stale": 2}


def sample(index, quality, value, dt, reason):
    if value is None:
        kind, body = 0, b""
    else:
        kind, body = value
    head = QUALITY[quality] | (4 if dt else 0) | kind << 3
    out = varint(index) + bytes([head]) + (zigzag(dt) if dt else b"") + body
    if quality != "good":
        out += text(reason or "")
    return out


def samples(source, items):
    return struct.pack(">I", source) + varint(len(items)) + b"".join(items)


def message(topic, payload, qos, retain, ctype):
    return bytes([(1 if retain else 0) | qos << 1]) + text(topic) + text(ctype) + payload


def seq_key(n):
    return struct.pack(">Q", n)


SOURCE = {
    "link": "plc-1", "device": "press-1", "group": "1000ms", "topic": "plant/line-1/press-1",
    "tags": [
        {"name": "temperature", "type": "float32", "unit": "°C"}, {"name": "running", "type": "bool"},
        {"name": "count", "type": "uint32"}, {"name": "total", "type": "uint64"}, {"name": "offset", "type": "int64"},
        {"name": "label", "type": "string(8)"}, {"name": "energy", "type": "float64"}, {"name": "raw", "type": "bytes"},
    ],
}
BOOT = "6f9619ff-8b86-d011-b42d-00c04fc964ff"


def header(stream, first, heads):
    return {"format": 1, "store": STORE.hex(), "stream": stream, "epoch": EPOCH, "first": first, "generation": 0,
            "boot": BOOT, "heads": heads}


def telemetry():
    first = 10001
    rows = [(b"H", meta("telemetry", b"H", header("telemetry", first, {"1": 0, "3": 9999})))]
    key = b"D" + struct.pack(">I", 1)
    rows.append((key, meta("telemetry", key, SOURCE)))
    one = samples(1, [
        sample(0, "good", (4, struct.pack(">f", 21.5)), 0, None),
        sample(1, "good", (2, b""), -12, None),
        sample(2, "good", (5, zigzag(4294967295)), 0, None),
        sample(3, "good", (7, struct.pack(">Q", 18446744073709551615)), 0, None),
        sample(4, "good", (6, struct.pack(">q", -9223372036854775808)), 0, None),
        sample(5, "good", (8, text("Größe")), 0, None),
        sample(6, "good", (3, struct.pack(">d", 0.1)), 300, None),
        sample(7, "good", (9, varint(3) + b"\x00\xff\x10"), 0, None),
    ])
    rows.append((seq_key(first), record("telemetry", first, 1, 0, 12.5, 1732300000123.0, [(1, 0), (3, 9999)], one)))
    two = samples(1, [
        sample(0, "bad", None, 0, "timeout"),
        sample(1, "stale", (1, b""), 0, "timeout"),
        sample(2, "good", (5, zigzag(-40)), 0, None),
    ])
    rows.append((seq_key(first + 1), record("telemetry", first + 1, 1, 1, 1012.75, 1732300001123.0, [(1, first)], two)))
    rows.append((b"S", b"x"))
    expect = {
        "header": header("telemetry", first, {"1": 0, "3": 9999}), "sources": {"1": SOURCE},
        "records": [
            {"seq": first, "clock": "unsynced", "monoMs": 12.5, "wallMs": 1732300000123, "links": [[1, 0], [3, 9999]],
             "samples": [
                 {"tag": "temperature", "quality": "good", "value": 21.5, "offsetMs": 0},
                 {"tag": "running", "quality": "good", "value": True, "offsetMs": -12},
                 {"tag": "count", "quality": "good", "value": 4294967295, "offsetMs": 0},
                 {"tag": "total", "quality": "good", "value": {"bigint": "18446744073709551615"}, "offsetMs": 0},
                 {"tag": "offset", "quality": "good", "value": {"bigint": "-9223372036854775808"}, "offsetMs": 0},
                 {"tag": "label", "quality": "good", "value": "Größe", "offsetMs": 0},
                 {"tag": "energy", "quality": "good", "value": 0.1, "offsetMs": 300},
                 {"tag": "raw", "quality": "good", "value": {"hex": "00ff10"}, "offsetMs": 0},
             ]},
            {"seq": first + 1, "clock": "synced", "monoMs": 1012.75, "wallMs": 1732300001123, "links": [[1, first]],
             "samples": [
                 {"tag": "temperature", "quality": "bad", "reason": "timeout", "offsetMs": 0},
                 {"tag": "running", "quality": "stale", "value": False, "reason": "timeout", "offsetMs": 0},
                 {"tag": "count", "quality": "good", "value": -40, "offsetMs": 0},
             ]},
        ],
    }
    return {"stream": "telemetry", "rows": rows, "expect": expect}


def events():
    first = 1
    rows = [(b"H", meta("events", b"H", header("events", first, {"1": 0})))]
    rows.append((seq_key(1), record("events", 1, 2, 1, 99.0, 1732300000500.0, [(1, 0)],
                                    message("plant/scan/1", b'{"code":"4006381333931"}', 1, False, "application/json"))))
    rows.append((seq_key(2), record("events", 2, 2, 1, 100.0, 1732300000501.0, [],
                                    message("plant/scan/größe", b"\x00\xff", 2, True, ""))))
    rows.append((seq_key(3), record("events", 3, 2, 1, 101.0, 1732300000502.0, [(1, 1), (300, 0)],
                                    message("a", b"", 0, False, ""))))
    expect = {
        "header": header("events", first, {"1": 0}), "sources": {},
        "records": [
            {"seq": 1, "clock": "synced", "monoMs": 99, "wallMs": 1732300000500, "links": [[1, 0]],
             "message": {"topic": "plant/scan/1", "payload": b'{"code":"4006381333931"}'.hex(), "qos": 1, "retain": False,
                         "contentType": "application/json"}},
            {"seq": 2, "clock": "synced", "monoMs": 100, "wallMs": 1732300000501, "links": [],
             "message": {"topic": "plant/scan/größe", "payload": "00ff", "qos": 2, "retain": True}},
            {"seq": 3, "clock": "synced", "monoMs": 101, "wallMs": 1732300000502, "links": [[1, 1], [300, 0]],
             "message": {"topic": "a", "payload": "", "qos": 0, "retain": False}},
        ],
    }
    return {"stream": "events", "rows": rows, "expect": expect}


def main():
    out = []
    for segment in (telemetry(), events()):
        rows = [[k.hex(), v.hex()] for k, v in segment["rows"]]
        out.append({"store": STORE.hex(), "epoch": EPOCH, "stream": segment["stream"], "rows": rows,
                    "expect": segment["expect"]})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "format-1.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(out, f, indent=1, ensure_ascii=False)
        f.write("\n")


main()
