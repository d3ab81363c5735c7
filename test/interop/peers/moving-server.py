"""
A Modbus TCP server on pymodbus whose values move by themselves: units 1 and 2, on 127.0.0.1.

  moving-server.py <port>

Holding 0: float32, holding 10: a counter, holding 11: an int32 that jumps; input 5: a ramp; coil 3. Others of the first 20
hold 0, more there are not. Prints "ready".
"""
import math
import struct
import sys
import time
import zlib

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartTcpServer

BEGUN = time.monotonic()


class Moving(ModbusSequentialDataBlock):
    def __init__(self, words):
        super().__init__(0, [0] * 20)
        self.words = words

    def getValues(self, address, count=1):
        now = self.words(time.monotonic() - BEGUN)
        return [now.get(at, 0) for at in range(address, address + count)]


def words_of(at, data):
    return {at + index: word for index, word in enumerate(struct.unpack(f">{len(data) // 2}H", data))}


def holding(seconds):
    step = int(seconds / 0.07)
    jumps = zlib.crc32(str(step).encode()) - 2**31
    sine = 15_000 + 15_000 * math.sin(2 * math.pi * seconds / 3)
    return {**words_of(0, struct.pack(">f", sine)), 10: int(seconds / 0.05) & 0xFFFF, **words_of(11, struct.pack(">i", jumps))}


units = {
    unit: ModbusSlaveContext(
        hr=Moving(holding),
        ir=Moving(lambda seconds: {5: int(seconds * 15_000) % 30_000}),
        co=Moving(lambda seconds: {3: int(seconds / 0.15) % 2 == 0}),
        zero_mode=True,
    )
    for unit in (1, 2)
}
print("ready", flush=True)
StartTcpServer(context=ModbusServerContext(slaves=units, single=False), address=("127.0.0.1", int(sys.argv[1])), allow_reuse_address=True)
