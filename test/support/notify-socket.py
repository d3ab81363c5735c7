"""A NOTIFY_SOCKET: prints each message as one line of JSON. Node has no datagram Unix sockets."""
import json
import socket
import sys

here = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
here.bind(sys.argv[1])
print(json.dumps(["BOUND=1"]), flush=True)
while True:
    # Without room for them, file descriptors that come along (BARRIER=1) are closed: whoever waits for that goes on.
    print(json.dumps(here.recv(65536).decode().split("\n")), flush=True)
