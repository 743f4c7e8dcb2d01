"""Sends or takes bytes over one TCP connection, and prints how many there were and their SHA-256.

    transfer.py take ADDRESS PORT             prints "listening", then the sum of what came until the end
    transfer.py send ADDRESS PORT BYTES SEED  prints the sum of what was sent
"""
import hashlib
import random
import socket
import sys

what, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
digest = hashlib.sha256()
count = 0
if what == "take":
    server = socket.create_server((address, port), family=family)
    print("listening", flush=True)
    connection, _ = server.accept()
    while data := connection.recv(1 << 20):
        digest.update(data)
        count += len(data)
else:
    block = random.Random(int(sys.argv[5])).randbytes(1_000_003)
    connection = socket.create_connection((address, port), timeout=20)
    while count < int(sys.argv[4]):
        data = block[: int(sys.argv[4]) - count]
        connection.sendall(data)
        digest.update(data)
        count += len(data)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
print(count, digest.hexdigest(), flush=True)
