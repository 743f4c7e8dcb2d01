"""FTP and TFTP servers for tests, on their own ports, IPv4 and IPv6, which give out the files of a folder.

    file-servers.py FOLDER        prints `serving`; ends with its standard input
"""
import os
import socket
import struct
import sys
import threading

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer

BLOCK = 512
READ, DATA, ACK = 1, 3, 4


def open_socket(family, kind, address):
    opened = socket.socket(family, kind)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(address)
    return opened


def send_file(family, client, name):
    """As a TFTP server does, from a port of its own (RFC 1350)."""
    with socket.socket(family, socket.SOCK_DGRAM) as transfer, open(os.path.join(sys.argv[1], name), "rb") as file:
        transfer.settimeout(1)
        number, block = 0, None
        while block is None or len(block) == BLOCK:
            number, block = number + 1, file.read(BLOCK)
            for _ in range(5):
                transfer.sendto(struct.pack(">HH", DATA, number) + block, client)
                try:
                    if transfer.recv(BLOCK)[:4] == struct.pack(">HH", ACK, number):
                        break
                except TimeoutError:
                    continue
            else:
                return


def serve_tftp(family, address):
    with open_socket(family, socket.SOCK_DGRAM, (address, 69)) as requests:
        while True:
            request, client = requests.recvfrom(BLOCK)
            opcode, name = struct.unpack(">H", request[:2])[0], request[2:].split(b"\0")[0].decode()
            if opcode == READ:
                threading.Thread(target=send_file, args=(family, client, os.path.basename(name)), daemon=True).start()


FTPHandler.authorizer = DummyAuthorizer()
FTPHandler.authorizer.add_anonymous(sys.argv[1])
loop = IOLoop()
for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    FTPServer(open_socket(family, socket.SOCK_STREAM, (address, 21)), FTPHandler, ioloop=loop)
    threading.Thread(target=serve_tftp, args=(family, address), daemon=True).start()
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
print("serving", flush=True)
loop.loop()
