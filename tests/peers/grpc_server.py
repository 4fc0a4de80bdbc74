"""A gRPC server of grpcio's that listens on the port in argv[1]. Methods take and give plain bytes. Writes `cancelled` when
a call is cancelled. With a name in argv[2] it has grpcio's health service, too: the whole server is always SERVING, and
each line on the standard input is the new status of test.Echo. With a certificate chain and a key (PEM) in argv[3] and
argv[4] it speaks TLS."""

import pathlib
import sys
import time
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-echo", metadata.get("x-ask", "")), ("x-raw-bin", b"\x00\xff")))
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as told")
    if request == b"deadline":
        return str(context.time_remaining()).encode()
    return request


def client_stream(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def server_stream(request, context):
    for index in range(int(request)):
        yield str(index).encode()


def both(requests, context):
    for request in requests:
        yield request


def hang(request, context):
    context.add_callback(lambda: print("cancelled", flush=True))
    yield b"begun"
    while context.is_active():
        time.sleep(0.01)


class Handlers(grpc.GenericRpcHandler):
    methods = {
        "/test.Echo/Name": grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode()),
        "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/test.Echo/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "/test.Echo/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(both),
        "/test.Echo/Hang": grpc.unary_stream_rpc_method_handler(hang),
    }

    def service(self, details):
        return self.methods.get(details.method)


port, name, chain, key = (sys.argv[1:] + [None] * 3)[:4]
server = grpc.server(
    futures.ThreadPoolExecutor(64),
    handlers=[Handlers()],
    options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)],
)
if name:
    servicer = health.HealthServicer()
    servicer.set("test.Echo", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
address = f"127.0.0.1:{port}"
if chain:
    pair = (pathlib.Path(key).read_bytes(), pathlib.Path(chain).read_bytes())
    assert server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
else:
    assert server.add_insecure_port(address)
server.start()
print("ready", flush=True)
if name:
    for line in sys.stdin:
        servicer.set("test.Echo", health_pb2.HealthCheckResponse.ServingStatus.Value(line.strip()))
server.wait_for_termination()
