"""Python's gRPC client (grpcio) against the box of test/grpc."""
import os, sys, threading, time
target, proto = sys.argv[1:]
sys.path.insert(0, os.path.dirname(proto))
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

pb, rpc = grpc.protos_and_services(os.path.basename(proto))
LARGE = 10 << 20
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]


def channel(*more):
    return grpc.insecure_channel(target, OPTIONS + list(more))


shared = channel()
stub = rpc.TestServiceStub(shared)


def case(name, f):
    try:
        f()
        print("ok", name, flush=True)
    except Exception as e:
        print("not ok", name, " ".join(repr(e).split())[:300], flush=True)


def same(a, b):
    assert a == b, "%.100r is not %.100r" % (a, b)


def body(n):
    return pb.Payload(body=b"x" * n)


def unary(size=0, up=0, on=stub, **o):
    return on.UnaryCall(pb.UnaryRequest(response_size=size, payload=body(up)), timeout=10, **o)


def fails(code, f, details=None, other=None):
    try:
        f()
    except grpc.RpcError as e:
        if e.code() != other:
            same(e.code(), code)
        if details is not None:
            same(e.details(), details)
        return
    raise AssertionError("no error")


def wanted(*sizes, after=0):
    return pb.OutputRequest(response_parameters=[pb.Wanted(size=n, interval_us=int(after * 1e6)) for n in sizes])


def parallel():
    errors = []

    def run(n):
        try:
            for _ in range(20):
                same(len(unary(size=n).payload.body), n)
        except Exception as e:
            errors.append(e)
    threads = [threading.Thread(target=run, args=(i + 1,)) for i in range(16)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors, errors[0]


def futures():
    calls = [stub.UnaryCall.future(pb.UnaryRequest(response_size=i + 1), timeout=10) for i in range(500)]
    same([len(c.result().payload.body) for c in calls], list(range(1, 501)))


def metadata():
    answer, call = stub.UnaryCall.with_call(pb.UnaryRequest(response_size=1), timeout=10, metadata=[
        ("x-grpc-test-echo-initial", "an initial value"), ("x-grpc-test-echo-trailing-bin", b"\x00\x01\xab\xff")])
    same(dict(call.initial_metadata())["x-grpc-test-echo-initial"], "an initial value")
    same(dict(call.trailing_metadata())["x-grpc-test-echo-trailing-bin"], b"\x00\x01\xab\xff")


def status():
    text = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    fails(grpc.StatusCode.ABORTED, lambda: stub.UnaryCall(pb.UnaryRequest(response_status=pb.Status(code=10, message=text)), timeout=10), text)


def bidirectional():
    def ask():
        for i in range(200):
            turn.acquire()
            yield wanted(1000 + i)
    turn, n = threading.Semaphore(1), 0
    for m in stub.FullDuplexCall(ask(), timeout=10):
        same(len(m.payload.body), 1000 + n)
        n += 1
        turn.release()
    same(n, 200)


def deadline():
    began = time.monotonic()
    # It is CANCELLED when the server's clock is the first to end it.
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: list(stub.StreamingOutputCall(wanted(1, after=5), timeout=0.2)), other=grpc.StatusCode.CANCELLED)
    assert time.monotonic() - began < 3


def cancel():
    call = stub.StreamingOutputCall(wanted(1, 1, after=1))
    next(call)
    call.cancel()
    fails(grpc.StatusCode.CANCELLED, lambda: list(call))


def keepalive():
    with channel(("grpc.keepalive_time_ms", 400), ("grpc.keepalive_timeout_ms", 300), ("grpc.http2.max_pings_without_data", 0),
                 ("grpc.keepalive_permit_without_calls", 1)) as c:
        on = rpc.TestServiceStub(c)
        same(len(list(on.StreamingOutputCall(wanted(1, 2, after=2)))), 2)
        time.sleep(1.5)
        unary(on=on)


def compressed():
    with grpc.insecure_channel(target, OPTIONS, compression=grpc.Compression.Gzip) as c:
        same(len(unary(size=100000, up=100000, on=rpc.TestServiceStub(c)).payload.body), 100000)


def watch():
    call = health_pb2_grpc.HealthStub(shared).Watch(health_pb2.HealthCheckRequest(service="grpc.testing.TestService"))
    same(next(call).status, health_pb2.HealthCheckResponse.SERVING)
    call.cancel()


def anew():
    for _ in range(20):
        with channel() as c:
            unary(on=rpc.TestServiceStub(c))


case("unary", lambda: same(len(unary(size=1000, up=1000).payload.body), 1000))
case("empty", lambda: stub.EmptyCall(pb.Empty(), timeout=10))
case("large-messages", lambda: same(len(unary(size=LARGE, up=LARGE).payload.body), LARGE))
case("parallel", parallel)
case("futures", futures)
case("metadata", metadata)
case("status", status)
case("unimplemented", lambda: fails(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.UnimplementedCall(pb.Empty(), timeout=10)))
case("server-streaming", lambda: same([len(m.payload.body) for m in stub.StreamingOutputCall(wanted(1, 100, 100000, 1), timeout=10)], [1, 100, 100000, 1]))
case("client-streaming", lambda: same(stub.StreamingInputCall((pb.InputRequest(payload=body(50000)) for _ in range(100)), timeout=10).aggregated_payload_size,
                                      100 * 50000))
case("bidirectional", bidirectional)
case("bidirectional-empty", lambda: same(list(stub.FullDuplexCall(iter(()), timeout=10)), []))
case("deadline", deadline)
case("cancel", cancel)
case("compressed", compressed)
case("keepalive-pings", keepalive)
case("health", lambda: same(health_pb2_grpc.HealthStub(shared).Check(health_pb2.HealthCheckRequest(), timeout=10).status, health_pb2.HealthCheckResponse.SERVING))
case("health-watch", watch)
case("reflection", lambda: same("grpc.testing.TestService" in ProtoReflectionDescriptorDatabase(shared).get_services(), True))
case("channel-opened-anew", anew)
sys.stdout.flush()
os._exit(0)
