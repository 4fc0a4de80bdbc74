"""Calls the server of grpc_server.py through the gateway on the port in argv[1]; argv[2] says which calls. Fails with what
was not as it should be."""

import sys
import threading

import grpc

channel = grpc.insecure_channel(
    f"127.0.0.1:{sys.argv[1]}",
    options=[("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)],
)
unary = channel.unary_unary("/test.Echo/Unary")
client_stream = channel.stream_unary("/test.Echo/ClientStream")
server_stream = channel.unary_stream("/test.Echo/ServerStream")
both = channel.stream_stream("/test.Echo/Both")
hang = channel.unary_stream("/test.Echo/Hang")
PATIENCE = 20


def kinds():
    answer, call = unary.with_call(b"hello", metadata=(("x-ask", "this"),), timeout=PATIENCE)
    trailers = dict(call.trailing_metadata())
    assert (answer, trailers["x-echo"], trailers["x-raw-bin"]) == (b"hello", "this", b"\x00\xff"), (answer, trailers)
    assert client_stream(iter([b"abc"] * 1000), timeout=PATIENCE) == b"3000"
    assert list(server_stream(b"1000", timeout=PATIENCE)) == [str(n).encode() for n in range(1000)]
    # Each message is answered before the next is sent.
    turn = threading.Semaphore(1)

    def questions():
        for n in range(100):
            assert turn.acquire(timeout=PATIENCE)
            yield str(n).encode()

    for n, answer in enumerate(both(questions(), timeout=PATIENCE)):
        assert answer == str(n).encode()
        turn.release()
    assert n == 99


def large():
    message = bytes(range(256)) * (16 << 10)
    assert unary(message, timeout=PATIENCE) == message
    assert list(both(iter([message] * 3), timeout=PATIENCE)) == [message] * 3


def errors():
    try:
        unary(b"fail", timeout=PATIENCE)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "as told"), error
    try:
        channel.unary_unary("/test.Echo/Unknown")(b"", timeout=PATIENCE)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error


def deadlines():
    left = float(unary(b"deadline", timeout=PATIENCE))
    assert 0 < left <= PATIENCE, left
    try:
        list(hang(b"", timeout=0.3))
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


def cancel():
    # Far beyond what the test waits: the deadline is not what ends it.
    call = hang(b"", timeout=600)
    assert next(call) == b"begun"
    call.cancel()


def many():
    calls = [unary.future(str(n).encode(), timeout=PATIENCE) for n in range(500)]
    assert [call.result() for call in calls] == [str(n).encode() for n in range(500)]


def unavailable():
    try:
        unary(b"", timeout=PATIENCE)
        raise AssertionError("no error")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error


def steady():
    """Calls without a pause until the standard input ends."""
    ended, failed = threading.Event(), []

    def caller():
        while not ended.is_set():
            try:
                assert unary(b"hello", timeout=PATIENCE) == b"hello"
            except Exception as error:
                failed.append(error)
                return

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    print("under way", flush=True)
    sys.stdin.read()
    ended.set()
    for thread in callers:
        thread.join()
    assert not failed, failed


globals()[sys.argv[2]]()
