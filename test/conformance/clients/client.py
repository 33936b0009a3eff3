"""Python's HTTP clients against the server of serve.go: requests and httpx."""
import sys, threading
import httpx, requests

url, big = sys.argv[1], b"0123456789abcdef" * (1 << 16)


def case(name, f):
    try:
        f()
        print("ok", name)
    except Exception as e:
        print("not ok", name, repr(e)[:300])


def same(a, b):
    assert a == b, "%.100r is not %.100r" % (a, b)


def chunks():
    for i in range(16):
        yield big[i << 16:(i + 1) << 16]


def requests_session():
    with requests.Session() as s:
        for i in range(50):
            same(s.get(url + "/echo?n=%d" % i).json()["query"], "n=%d" % i)


def parallel(get):
    errors = []

    def run():
        try:
            for _ in range(20):
                same(get().status_code, 200)
        except Exception as e:
            errors.append(e)
    threads = [threading.Thread(target=run) for _ in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not errors, errors[0]


def redirects():
    r = requests.get(url + "/redirect/3")
    same((r.status_code, len(r.history)), (200, 3))


def streamed():
    with requests.get(url + "/chunks/20", stream=True) as r:
        same(sum(len(c) for c in r.iter_content(1000)), 20 * 1000)


case("requests/session", requests_session)
case("requests/parallel", lambda: parallel(lambda: requests.get(url)))
case("requests/upload", lambda: same(requests.post(url + "/echo", data=big).json()["length"], len(big)))
case("requests/chunked-upload", lambda: same(requests.post(url + "/echo", data=chunks()).json()["length"], 16 << 16))
case("requests/download", lambda: same(len(requests.get(url + "/bytes/5000000").content), 5000000))
case("requests/gzip", lambda: same(requests.get(url + "/gzip").text, "hello"))
case("requests/redirects", redirects)
case("requests/streamed", streamed)
case("requests/head", lambda: same(requests.head(url + "/bytes/1000").headers["Content-Length"], "1000"))
case("requests/close", lambda: same(requests.get(url, headers={"Connection": "close"}).status_code, 200))
case("requests/status", lambda: same([requests.get(url + "/status/%d" % c).status_code for c in (204, 304, 404, 500)], [204, 304, 404, 500]))
with httpx.Client() as c:
    case("httpx/get", lambda: same(c.get(url + "/echo?a=b").json()["query"], "a=b"))
    case("httpx/parallel", lambda: parallel(lambda: c.get(url)))
    case("httpx/chunked-upload", lambda: same(c.post(url + "/echo", content=chunks()).json()["length"], 16 << 16))
    case("httpx/put", lambda: same(c.put(url + "/echo", content=big).json()["length"], len(big)))
with httpx.Client(http1=False, http2=True) as c:
    case("httpx/h2c", lambda: same(c.get(url + "/echo?a=b").json()["proto"], "HTTP/2.0"))
