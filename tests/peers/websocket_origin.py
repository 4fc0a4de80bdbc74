"""A WebSocket server that sends back each message as it came: websocket_origin.py PORT"""
import sys

from websockets.sync.server import serve


def echo(socket):
    for message in socket:
        socket.send(message)


with serve(echo, "127.0.0.1", int(sys.argv[1]), compression="deflate", max_size=2**24) as server:
    server.serve_forever()
