"""A gRPC server of grpcio's that listens on the port in argv[1]. Methods take and give plain bytes. Writes `cancelled` when
a call is cancelled."""

import sys
import time
from concurrent import futures

import grpc


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
        "/test.Echo/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/test.Echo/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "/test.Echo/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "/test.Echo/Both": grpc.stream_stream_rpc_method_handler(both),
        "/test.Echo/Hang": grpc.unary_stream_rpc_method_handler(hang),
    }

    def service(self, details):
        return self.methods.get(details.method)


server = grpc.server(
    futures.ThreadPoolExecutor(64),
    handlers=[Handlers()],
    options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)],
)
assert server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
print("ready", flush=True)
server.wait_for_termination()
