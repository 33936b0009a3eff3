// Java's gRPC client (grpc-java over Netty) against the box of test/grpc. Its messages, those of testservice.proto, are written and read here:
// a compiler for them would be one more program that differs from machine to machine.
import io.grpc.*;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.*;
import java.io.*;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.logging.*;
import java.util.stream.*;

public class GrpcClient {
    static final int LARGE = 10 << 20;
    static String target;
    static ManagedChannel shared;

    public static void main(String[] args) throws Exception {
        target = args[0];
        shared = open().build();
        var pings = new Pings();
        var keepalive = begin(() -> keepalive(pings)); // beside the others, since it takes long
        test("unary", () -> same(body(unary(request(1000, 1000))).length, 1000));
        test("empty", () -> blocking(shared, unaryMethod("EmptyCall"), message()));
        test("large-messages", () -> same(body(unary(request(LARGE, LARGE))).length, LARGE));
        test("parallel", GrpcClient::parallel);
        test("status", GrpcClient::status);
        test("unimplemented", () -> fails(() -> blocking(shared, unaryMethod("UnimplementedCall"), message()), Status.Code.UNIMPLEMENTED));
        test("trailers-only", GrpcClient::trailersOnly);
        test("metadata", GrpcClient::metadata);
        test("large-metadata", GrpcClient::largeMetadata);
        test("server-streaming", () -> same(sizes(all(wanted(0, 1, 100, 100000, 1), options())), List.of(1, 100, 100000, 1)));
        test("client-streaming", GrpcClient::clientStreaming);
        test("bidirectional", GrpcClient::bidirectional);
        test("bidirectional-empty", GrpcClient::bidirectionalEmpty);
        test("stream-ends-with-status", GrpcClient::streamEndsWithStatus);
        test("deadline", GrpcClient::deadline);
        test("deadline-kept", () -> same(sizes(all(wanted(200, 1), options().withDeadlineAfter(Duration.ofSeconds(5)))), List.of(1)));
        test("cancel-at-once", GrpcClient::cancelAtOnce);
        test("cancel-after-first", () -> cancelAfterFirst(1));
        test("cancel-many", GrpcClient::cancelMany);
        test("compressed", GrpcClient::compressed);
        test("slow-reader", GrpcClient::slowReader);
        test("health", () -> same(Arrays.toString(blocking(shared, method(MethodType.UNARY, "grpc.health.v1.Health/Check"), message())), "[8, 1]"));
        test("health-watch", GrpcClient::healthWatch);
        test("reflection", GrpcClient::reflection);
        test("channel-opened-anew", GrpcClient::openedAnew);
        end("keepalive-pings", keepalive, 60);
        Runtime.getRuntime().halt(0);
    }

    static void parallel() throws Exception {
        var calls = IntStream.rangeClosed(1, 500)
            .mapToObj(n -> ClientCalls.futureUnaryCall(shared.newCall(unaryMethod("UnaryCall"), options()), request(n, 0))).toList();
        for (int i = 0; i < calls.size(); i++) same(body(calls.get(i).get()).length, i + 1);
    }

    static void status() throws Exception {
        var text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
        var e = fails(() -> unary(message(7, message(1, 10, 2, text))), Status.Code.ABORTED);
        same(e.getStatus().getDescription(), text);
    }

    // A method that the server does not have is answered by HEADERS alone, which are trailers: no header is heard of.
    static void trailersOnly() throws Exception {
        var got = new Captured();
        fails(() -> blocking(got.on(shared), unaryMethod("NoSuchCall"), message()), Status.Code.UNIMPLEMENTED);
        same(got.header.get(), null);
    }

    static final Metadata.Key<String> INITIAL = Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
    static final Metadata.Key<byte[]> TRAILING = Metadata.Key.of("x-grpc-test-echo-trailing-bin", Metadata.BINARY_BYTE_MARSHALLER);
    static final Metadata.Key<String> ENCODING = Metadata.Key.of("grpc-encoding", Metadata.ASCII_STRING_MARSHALLER);

    static void metadata() throws Exception {
        var sent = new Metadata();
        sent.put(INITIAL, "an initial value");
        sent.put(TRAILING, new byte[] {0, 1, (byte) 0xab, (byte) 0xff});
        var got = new Captured();
        blocking(ClientInterceptors.intercept(got.on(shared), MetadataUtils.newAttachHeadersInterceptor(sent)), unaryMethod("UnaryCall"), request(1, 0));
        same(got.header.get().get(INITIAL), "an initial value");
        same(Arrays.toString(got.trailer.get().get(TRAILING)), "[0, 1, -85, -1]");
    }

    static void largeMetadata() throws Exception {
        var sent = new Metadata();
        sent.put(INITIAL, "y".repeat(6000));
        var got = new Captured();
        blocking(ClientInterceptors.intercept(got.on(shared), MetadataUtils.newAttachHeadersInterceptor(sent)), unaryMethod("UnaryCall"), message());
        same(got.header.get().get(INITIAL).length(), 6000);
    }

    static void clientStreaming() throws Exception {
        var call = new Call();
        ClientCalls.asyncClientStreamingCall(
            shared.newCall(method(MethodType.CLIENT_STREAMING, "grpc.testing.TestService/StreamingInputCall"), options()), call);
        for (int i = 0; i < 100; i++) call.out.onNext(message(1, payload(50000)));
        call.out.onCompleted();
        same(number(call.next(), 1), 100 * 50000);
        same(call.next(), null);
    }

    static void bidirectional() throws Exception {
        var call = duplex();
        for (int i = 0; i < 200; i++) {
            call.out.onNext(wanted(0, 1000 + i));
            same(body(call.next()).length, 1000 + i);
        }
        call.out.onCompleted();
        same(call.next(), null);
    }

    static void bidirectionalEmpty() throws Exception {
        var call = duplex();
        call.out.onCompleted();
        same(call.next(), null);
    }

    static void streamEndsWithStatus() throws Exception {
        var call = duplex();
        call.out.onNext(message(7, message(1, 5, 2, "none")));
        same(fails(call::next, Status.Code.NOT_FOUND).getStatus().getDescription(), "none");
    }

    static void deadline() throws Exception {
        long began = System.nanoTime();
        // It is CANCELLED when the server's clock is the first to end it.
        fails(() -> all(wanted(5000, 1), options().withDeadlineAfter(Duration.ofMillis(200))), Status.Code.DEADLINE_EXCEEDED, Status.Code.CANCELLED);
        same(System.nanoTime() - began < 3e9, true);
    }

    static void cancelAtOnce() throws Exception {
        var call = new Call();
        ClientCalls.asyncServerStreamingCall(shared.newCall(OUTPUT, options()), wanted(5000, 1), call);
        call.out.cancel("cancelled at once", null);
        fails(call::next, Status.Code.CANCELLED);
    }

    static void cancelAfterFirst(int streams) throws Exception {
        var calls = IntStream.range(0, streams).mapToObj(i -> duplex()).toList();
        for (var call : calls) call.out.onNext(wanted(0, 10));
        for (var call : calls) {
            same(body(call.next()).length, 10);
            call.out.cancel("cancelled after the first answer", null);
            fails(call::next, Status.Code.CANCELLED);
        }
    }

    static void cancelMany() throws Exception {
        cancelAfterFirst(100);
        unary(message());
    }

    static void compressed() throws Exception {
        var got = new Captured();
        var answer = ClientCalls.blockingUnaryCall(got.on(shared), unaryMethod("UnaryCall"), options().withCompression("gzip"), request(100000, 100000));
        same(body(answer).length, 100000);
        same(got.header.get().get(ENCODING), "gzip");
    }

    // The iterator asks for the next message when it is asked for one.
    static void slowReader() throws Exception {
        var sizes = new int[64];
        Arrays.fill(sizes, 1 << 18);
        var answers = ClientCalls.blockingServerStreamingCall(shared, OUTPUT, options(), wanted(0, sizes));
        int n = 0;
        while (answers.hasNext()) {
            n += body(answers.next()).length;
            if (n < 1 << 20) Thread.sleep(50);
        }
        same(n, 64 << 18);
    }

    static void healthWatch() throws Exception {
        var call = new Call();
        ClientCalls.asyncServerStreamingCall(shared.newCall(method(MethodType.SERVER_STREAMING, "grpc.health.v1.Health/Watch"), options()),
            message(1, "grpc.testing.TestService"), call);
        same(Arrays.toString(call.next()), "[8, 1]");
        call.out.cancel("seen", null);
        fails(call::next, Status.Code.CANCELLED);
    }

    static void reflection() throws Exception {
        var call = new Call();
        ClientCalls.asyncBidiStreamingCall(
            shared.newCall(method(MethodType.BIDI_STREAMING, "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), options()), call);
        call.out.onNext(message(7, "")); // list_services
        same(new String(call.next(), StandardCharsets.ISO_8859_1).contains("grpc.testing.TestService"), true);
        call.out.onCompleted();
        same(call.next(), null);
    }

    static void openedAnew() throws Exception {
        for (int i = 0; i < 20; i++) {
            var c = open().build();
            blocking(c, unaryMethod("UnaryCall"), message());
            c.shutdownNow();
        }
    }

    // 10 s is the shortest time between grpc-java's pings: one goes out while a stream is silent, and one while there is none.
    static void keepalive(Pings pings) throws Exception {
        var c = open().keepAliveTime(10, TimeUnit.SECONDS).keepAliveTimeout(2, TimeUnit.SECONDS).keepAliveWithoutCalls(true).build();
        var answers = ClientCalls.blockingServerStreamingCall(c, OUTPUT, options(), wanted(11000, 1));
        same(body(answers.next()).length, 1);
        same(answers.hasNext(), false);
        same(pings.toString(), "1 sent, 1 answered, []");
        var changed = new AtomicReference<ConnectivityState>();
        c.notifyWhenStateChanged(ConnectivityState.READY, () -> changed.set(c.getState(false)));
        Thread.sleep(11000);
        same(pings.toString(), "2 sent, 2 answered, []");
        same(changed.get(), null);
        blocking(c, unaryMethod("UnaryCall"), message());
        c.shutdownNow();
    }

    /** Pings counts keepalive's pings among the frames that the transport logs, and keeps what servers said with GOAWAY. */
    static class Pings extends Handler {
        static final Logger LOG = Logger.getLogger("io.grpc.netty.shaded.io.grpc.netty.NettyClientHandler"); // its level is lost once nobody has it
        static final String DATA = "bytes=1111"; // the transport measures with pings of other data
        final AtomicInteger sent = new AtomicInteger(), answered = new AtomicInteger();
        final Queue<String> goAways = new ConcurrentLinkedQueue<>();

        Pings() {
            LOG.setUseParentHandlers(false);
            LOG.setLevel(Level.FINE);
            LOG.addHandler(this);
        }

        @Override
        public void publish(LogRecord r) {
            var s = r.getMessage();
            if (s.contains("OUTBOUND PING: ack=false " + DATA)) sent.incrementAndGet();
            if (s.contains("INBOUND PING: ack=true " + DATA)) answered.incrementAndGet();
            if (s.contains("INBOUND GO_AWAY")) goAways.add(s);
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}

        @Override
        public String toString() { return sent + " sent, " + answered + " answered, " + goAways; }
    }

    /** Captured is what came besides messages. */
    static class Captured {
        final AtomicReference<Metadata> header = new AtomicReference<>(), trailer = new AtomicReference<>();

        Channel on(Channel c) { return ClientInterceptors.intercept(c, MetadataUtils.newCaptureMetadataInterceptor(header, trailer)); }
    }

    /** Call has a call's answers in their order. */
    static class Call implements ClientResponseObserver<byte[], byte[]> {
        static final Object END = new Object();
        final BlockingQueue<Object> got = new LinkedBlockingQueue<>();
        ClientCallStreamObserver<byte[]> out;

        @Override
        public void beforeStart(ClientCallStreamObserver<byte[]> requests) { out = requests; }

        @Override
        public void onNext(byte[] m) { got.add(m); }

        @Override
        public void onError(Throwable e) { got.add(e); }

        @Override
        public void onCompleted() { got.add(END); }

        // next answers null at the end.
        byte[] next() throws Exception {
            var x = got.take();
            if (x instanceof Exception e) throw e;
            return x == END ? null : (byte[]) x;
        }
    }

    static NettyChannelBuilder open() { return NettyChannelBuilder.forTarget(target).usePlaintext().maxInboundMessageSize(Integer.MAX_VALUE); }

    static CallOptions options() { return CallOptions.DEFAULT; }

    static final MethodDescriptor.Marshaller<byte[]> BYTES = new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] m) { return new ByteArrayInputStream(m); }

        @Override
        public byte[] parse(InputStream s) {
            try {
                return s.readAllBytes();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    };
    static final MethodDescriptor<byte[], byte[]> OUTPUT = method(MethodType.SERVER_STREAMING, "grpc.testing.TestService/StreamingOutputCall");

    static MethodDescriptor<byte[], byte[]> method(MethodType type, String name) {
        return MethodDescriptor.newBuilder(BYTES, BYTES).setType(type).setFullMethodName(name).build();
    }

    static MethodDescriptor<byte[], byte[]> unaryMethod(String name) { return method(MethodType.UNARY, "grpc.testing.TestService/" + name); }

    static byte[] blocking(Channel c, MethodDescriptor<byte[], byte[]> method, byte[] request) {
        return ClientCalls.blockingUnaryCall(c, method, options(), request);
    }

    static byte[] unary(byte[] request) { return blocking(shared, unaryMethod("UnaryCall"), request); }

    static List<byte[]> all(byte[] request, CallOptions options) {
        var got = new ArrayList<byte[]>();
        ClientCalls.blockingServerStreamingCall(shared, OUTPUT, options, request).forEachRemaining(got::add);
        return got;
    }

    static Call duplex() {
        var call = new Call();
        ClientCalls.asyncBidiStreamingCall(shared.newCall(method(MethodType.BIDI_STREAMING, "grpc.testing.TestService/FullDuplexCall"), options()), call);
        return call;
    }

    static byte[] payload(int n) {
        var b = new byte[n];
        Arrays.fill(b, (byte) 'x');
        return message(2, b);
    }

    static byte[] request(int size, int up) { return message(2, size, 3, payload(up)); }

    static byte[] wanted(int afterMillis, int... sizes) {
        var fields = new ArrayList<Object>();
        for (int n : sizes) Collections.addAll(fields, 2, message(1, n, 2, afterMillis * 1000));
        return message(fields.toArray());
    }

    static byte[] body(byte[] answer) { return bytes(bytes(answer, 1), 2); }

    static List<Integer> sizes(List<byte[]> answers) { return answers.stream().map(m -> body(m).length).toList(); }

    // message writes a protobuf message: of each field the number and the value, an Integer that is not negative, a String or byte[].
    static byte[] message(Object... fields) {
        var out = new ByteArrayOutputStream();
        for (int i = 0; i < fields.length; i += 2) {
            int field = (Integer) fields[i];
            if (fields[i + 1] instanceof Integer n) {
                varint(out, field << 3);
                varint(out, n);
            } else {
                var b = fields[i + 1] instanceof String s ? s.getBytes(StandardCharsets.UTF_8) : (byte[]) fields[i + 1];
                varint(out, field << 3 | 2);
                varint(out, b.length);
                out.writeBytes(b);
            }
        }
        return out.toByteArray();
    }

    static void varint(ByteArrayOutputStream out, int n) {
        for (; n >= 0x80; n >>>= 7) out.write(n & 0x7f | 0x80);
        out.write(n);
    }

    static int varint(ByteArrayInputStream in) {
        int n = 0;
        for (int shift = 0, b = 0x80; b >= 0x80; shift += 7) n |= ((b = in.read()) & 0x7f) << shift;
        return n;
    }

    // read answers the last value of a field, an Integer or byte[], or null.
    static Object read(byte[] m, int field) {
        var in = new ByteArrayInputStream(m);
        Object found = null;
        while (in.available() > 0) {
            int tag = varint(in);
            Object value = (tag & 7) == 0 ? (Object) varint(in) : new byte[varint(in)];
            if (value instanceof byte[] b) in.readNBytes(b, 0, b.length);
            if (tag >>> 3 == field) found = value;
        }
        return found;
    }

    static byte[] bytes(byte[] m, int field) { return Objects.requireNonNullElse((byte[]) read(m, field), new byte[0]); }

    static int number(byte[] m, int field) { return (Integer) Objects.requireNonNullElse(read(m, field), 0); }

    interface Body { void run() throws Exception; }

    static void same(Object got, Object want) { if (!Objects.equals(got, want)) throw new AssertionError(got + " is not " + want); }

    static StatusRuntimeException fails(Body f, Status.Code... codes) throws Exception {
        try {
            f.run();
        } catch (StatusRuntimeException e) {
            if (!List.of(codes).contains(e.getStatus().getCode())) throw e;
            return e;
        }
        throw new AssertionError("no error");
    }

    static Future<?> begin(Body f) {
        var done = new FutureTask<>(() -> { f.run(); return null; });
        new Thread(done).start();
        return done;
    }

    static void test(String name, Body f) { end(name, begin(f), 15); }

    static void end(String name, Future<?> done, int seconds) {
        try {
            done.get(seconds, TimeUnit.SECONDS);
            System.out.println("ok " + name);
        } catch (Exception e) {
            var why = e instanceof TimeoutException ? "not done within " + seconds + " s" : String.valueOf(e.getCause());
            why = why.replaceAll("\\s+", " ");
            System.out.println("not ok " + name + " " + why.substring(0, Math.min(why.length(), 300)));
        }
    }
}
