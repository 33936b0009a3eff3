// Java's HttpClient, which offers Upgrade: h2c by default, against the server of serve.go.
import java.net.URI;
import java.net.http.*;
import java.util.concurrent.*;
import java.util.stream.*;

public class Client {
    static String url;

    static void test(String name, Callable<Boolean> f) {
        try {
            System.out.println((f.call() ? "ok " : "not ok ") + name);
        } catch (Exception e) {
            System.out.println("not ok " + name + " " + e);
        }
    }

    static HttpRequest.Builder to(String path) { return HttpRequest.newBuilder(URI.create(url + path)); }

    public static void main(String[] args) throws Exception {
        url = args[0];
        var text = HttpResponse.BodyHandlers.ofString();
        for (var version : HttpClient.Version.values()) {
            var c = HttpClient.newBuilder().version(version).build();
            test("get/" + version, () -> c.send(to("/echo?a=b").build(), text).body().contains("\"query\":\"a=b\""));
            test("post/" + version, () -> c.send(to("/echo").POST(HttpRequest.BodyPublishers.ofByteArray(new byte[1 << 20])).build(), text)
                .body().contains("\"length\":1048576"));
            test("parallel/" + version, () -> IntStream.range(0, 200)
                .mapToObj(i -> c.sendAsync(to("/echo?n=" + i).build(), text).thenApply(r -> r.body().contains("\"n=" + i + "\"")))
                .collect(Collectors.toList()).stream().allMatch(CompletableFuture::join));
            test("expect-continue/" + version, () -> c.send(to("/echo").expectContinue(true)
                .POST(HttpRequest.BodyPublishers.ofString("hello")).build(), text).body().contains("\"length\":5"));
            test("download/" + version, () -> c.send(to("/bytes/5000000").build(), HttpResponse.BodyHandlers.ofByteArray()).body().length == 5000000);
        }
    }
}
