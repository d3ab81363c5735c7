"""Takes records of a gateway's ZeroMQ uplink and writes each once: receiver.py tcp://127.0.0.1:5560 records.jsonl"""
import json, os, sys, zmq

endpoint, path = sys.argv[1:3]
out = open(path, "a+b")
out.seek(0)
have = out.read()
whole = have[: have.rfind(b"\n") + 1]  # a kill may have left half a line
out.truncate(len(whole))
seen = {json.loads(line)["key"] for line in whole.splitlines()}

router = zmq.Context().socket(zmq.ROUTER)
router.bind(endpoint)
while True:
    batch = [router.recv_multipart()]
    while len(batch) < 500 and router.poll(0):
        batch.append(router.recv_multipart())
    for _, _, topic, body, properties in batch:
        named = json.loads(properties)
        key = f'{named.get("id", topic.decode())} {named.get("part", "")}'.strip()
        if "id" in named and key in seen:
            continue
        seen.add(key)
        out.write(json.dumps({"key": key, "topic": topic.decode(), "body": body.decode(errors="replace")}).encode() + b"\n")
    out.flush()
    os.fsync(out.fileno())  # on disk first, then the answer
    for peer, number, *_ in batch:
        router.send_multipart([peer, number, b"A"])
