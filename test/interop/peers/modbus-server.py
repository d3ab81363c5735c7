"""
A Modbus server on pymodbus whose registers hold one value of each type and order, packed by Python's struct: an
independent witness for what the driver decodes and encodes.

  modbus-server.py <tcp|udp|rtu-over-tcp|ascii-over-tcp> <host> <port>
  modbus-server.py <rtu|ascii> <path>

Prints one line of JSON with the tags and their values, and "ready". To each line "dump" it answers with what the holding
registers mean at that moment, and with the coils.
"""
import json
import random
import struct
import sys
import threading

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server import StartSerialServer, StartTcpServer, StartUdpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

UNIT = 17
ORDERS = {
    2: ["AB", "BA"],
    4: ["ABCD", "BADC", "CDAB", "DCBA"],
    8: ["ABCDEFGH", "BADCFEHG", "GHEFCDAB", "HGFEDCBA", "CDABGHEF", "EFGHABCD"],
}
FORMATS = {
    "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q", "uint64": ">Q",
    "float16": ">e", "float32": ">f", "float64": ">d", "bcd16": "bcd2", "bcd32": "bcd4", "string(8)": "text8",
}
rng = random.Random(4)


def size_of(form):
    return int(form[-1]) if form[-1].isdigit() else struct.calcsize(form)


def pack(form, value):
    if form.startswith("bcd"):
        return bytes.fromhex(str(value).zfill(2 * size_of(form)))
    if form.startswith("text"):
        return value.encode().ljust(size_of(form), b"\0")
    return struct.pack(form, value)


def unpack(form, data):
    if form.startswith("bcd"):
        return int(data.hex())
    if form.startswith("text"):
        return data.rstrip(b"\0").decode()
    return struct.unpack(form, data)[0]


def some(form):
    if form.startswith("bcd"):
        return rng.randrange(10 ** (2 * size_of(form)))
    if form.startswith("text"):
        return "".join(rng.choice("abcXYZ019-") for _ in range(rng.randrange(1, 9)))
    if form[1] in "efd":
        # Few digits that a float16 holds exactly, so that decimal and binary agree.
        return rng.randrange(-200, 200) / 2
    return unpack(form, rng.randbytes(struct.calcsize(form)))


def to_wire(data, order):
    step = len(order)
    return bytes(data[at - at % step + ord(order[at % step]) - 65] for at in range(len(data)))


def from_wire(data, order):
    step = len(order)
    plain = bytearray(len(data))
    for at, byte in enumerate(data):
        plain[at - at % step + ord(order[at % step]) - 65] = byte
    return bytes(plain)


tags, words = [], []
for name, form in FORMATS.items():
    for order in ORDERS[2 if form.startswith("text") else size_of(form)]:
        value = some(form)
        tags.append({"at": len(words), "type": name, "order": order, "value": value})
        wire = to_wire(pack(form, value), order)
        words += struct.unpack(f">{len(wire) // 2}H", wire)
bits = [rng.random() < 0.5 for _ in range(200)]

slave = ModbusSlaveContext(
    di=ModbusSequentialDataBlock(0, list(bits)), co=ModbusSequentialDataBlock(0, list(bits)),
    hr=ModbusSequentialDataBlock(0, list(words)), ir=ModbusSequentialDataBlock(0, list(words)), zero_mode=True,
)
context = ModbusServerContext(slaves={UNIT: slave}, single=False)


def text_of(value):
    # JSON numbers lose whole numbers beyond 2^53.
    return str(value) if isinstance(value, int) else value


def dump():
    held = slave.getValues(3, 0, len(words))
    found = []
    for tag in tags:
        form = FORMATS[tag["type"]]
        count = size_of(form) // 2
        data = struct.pack(f">{count}H", *held[tag["at"]:tag["at"] + count])
        found.append(text_of(unpack(form, from_wire(data, tag["order"]))))
    return {"values": found, "coils": [bool(bit) for bit in slave.getValues(1, 0, len(bits))]}


def serve_dumps():
    for _ in sys.stdin:
        print(json.dumps(dump()), flush=True)


threading.Thread(target=serve_dumps, daemon=True).start()
shown = [{**tag, "value": text_of(tag["value"])} for tag in tags]
print(json.dumps({"tags": shown, "registers": len(words), "bits": bits}), flush=True)
print("ready", flush=True)

identity = ModbusDeviceIdentification(info_name={
    "VendorName": "Acme", "ProductCode": "EM-24", "MajorMinorRevision": "2.1", "ProductName": "Meter", "ModelName": "DIN",
})
kind = sys.argv[1]
framer = ModbusRtuFramer if kind.startswith("rtu") else ModbusAsciiFramer if kind.startswith("ascii") else ModbusSocketFramer
if kind in ("rtu", "ascii"):
    StartSerialServer(context=context, identity=identity, framer=framer, port=sys.argv[2], baudrate=115200, parity="N", stopbits=1, timeout=0.005)
elif kind == "udp":
    StartUdpServer(context=context, identity=identity, framer=framer, address=(sys.argv[2], int(sys.argv[3])))
else:
    StartTcpServer(context=context, identity=identity, framer=framer, address=(sys.argv[2], int(sys.argv[3])), allow_reuse_address=True)
