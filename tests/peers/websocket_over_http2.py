"""A WebSocket over HTTP/2 (RFC 8441), made of the packages h2 and wsproto: websocket_over_http2.py PORT

Sends messages that are short, large, in fragments, compressed, and a ping, expects each of them back as it went, and closes
as it should be done. Exits with 0 if all went well.
"""
import os
import socket
import sys

import h2.connection
import h2.events
import wsproto.connection
import wsproto.events as ws
from wsproto.extensions import PerMessageDeflate


class Tunnel:
    """One stream of an HTTP/2 connection, as a socket of bytes."""

    def __init__(self, port, extensions):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.http = h2.connection.H2Connection()
        self.http.initiate_connection()
        self.received, self.ended, self.head = b"", False, None
        self.flush()
        while self.http.remote_settings.enable_connect_protocol != 1:
            self.pump()
        self.stream = self.http.get_next_available_stream_id()
        head = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{port}"),
            (":path", "/chat"),
            ("sec-websocket-version", "13"),
        ]
        if extensions:
            head.append(("sec-websocket-extensions", extensions))
        self.http.send_headers(self.stream, head)
        self.flush()
        while self.head is None:
            self.pump()

    def flush(self):
        self.socket.sendall(self.http.data_to_send())

    def pump(self):
        """Reads once, and sees what has come."""
        data = self.socket.recv(65536)
        assert data, "the connection has ended"
        for event in self.http.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.head = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h2.events.DataReceived):
                self.received += event.data
                self.http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended = True
            elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                raise AssertionError(event)
        self.flush()

    def send(self, data):
        while data:
            window = min(self.http.local_flow_control_window(self.stream), self.http.max_outbound_frame_size)
            if window == 0:
                self.pump()
                continue
            self.http.send_data(self.stream, data[:window])
            self.flush()
            data = data[window:]

    def finish(self):
        self.http.end_stream(self.stream)
        self.flush()

    def take(self):
        while not self.received and not self.ended:
            self.pump()
        data, self.received = self.received, b""
        return data


class Client:
    def __init__(self, port, compressed):
        deflate = PerMessageDeflate() if compressed else None
        offer = f"{deflate.name}; {deflate.offer()}" if compressed else ""
        self.tunnel = Tunnel(port, offer)
        assert self.tunnel.head[":status"] == "200", self.tunnel.head
        agreed = self.tunnel.head.get("sec-websocket-extensions", "")
        assert compressed == agreed.startswith("permessage-deflate"), self.tunnel.head
        if compressed:
            deflate.finalize(agreed)
        extensions = [deflate] if compressed else []
        self.ws = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT, extensions)

    def send(self, *events):
        for event in events:
            self.tunnel.send(self.ws.send(event))

    def events(self):
        """What comes, until the stream ends."""
        yield from self.ws.events()
        while not self.tunnel.ended or self.tunnel.received:
            self.ws.receive_data(self.tunnel.take())
            yield from self.ws.events()

    def message(self):
        parts = []
        for event in self.events():
            assert isinstance(event, (ws.TextMessage, ws.BytesMessage)), event
            parts.append(event.data)
            if event.message_finished:
                return type(parts[0])().join(parts)
        raise AssertionError("the stream ended within a message")

    def echoed(self, message):
        kind = ws.TextMessage if isinstance(message, str) else ws.BytesMessage
        self.send(kind(data=message))
        assert self.message() == message


def run(port, compressed):
    client = Client(port, compressed)
    for message in ["", "hello", "ünï©ödé", "a" * 125, "b" * 126, "c" * 65535, "d" * 65536, b"\x00\xff\r\n\r\n"]:
        client.echoed(message)
    client.echoed(os.urandom(3_000_000))
    client.echoed("the same again and again " * 100_000)
    # In fragments, with a ping between them.
    client.send(
        ws.TextMessage(data="in ", message_finished=False),
        ws.TextMessage(data="three ", message_finished=False),
        ws.Ping(payload=b"there?"),
        ws.TextMessage(data="parts"),
    )
    pong = next(client.events())
    assert isinstance(pong, ws.Pong) and pong.payload == b"there?", pong
    assert client.message() == "in three parts"
    client.send(ws.CloseConnection(code=1000, reason="done"))
    close = next(client.events())
    assert isinstance(close, ws.CloseConnection) and close.code == 1000, close
    # The node ends its connection after that, which ends the stream; and so do we.
    assert client.tunnel.take() == b"" and client.tunnel.ended
    client.tunnel.finish()


for compressed in [False, True]:
    run(int(sys.argv[1]), compressed)
