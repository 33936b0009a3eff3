-- What wrk has seen, as one line of JSON: counts, and times in milliseconds.
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"p99":%g,"max":%g}\n',
    summary.requests, e.connect, e.read, e.write, e.timeout, e.status, latency:percentile(99) / 1e3, latency.max / 1e3))
end
