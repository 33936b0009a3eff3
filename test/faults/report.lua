-- What wrk has seen, as one line of JSON: counts, and times in milliseconds. wrk does not count a request that is never answered. So in a
-- run of four seconds and more nothing is sent in the last two, and what is open at the end was left without an answer.
local threads = {}

function setup(thread) table.insert(threads, thread) end

function init(args)
  -- wrk asks for one request that it does not send, to look at it.
  sent, began, busy = -1, os.time(), tonumber(args[1]) - 2
  counts, what = busy >= 2, wrk.format()
end

function request()
  sent = sent + 1
  return what
end

function delay()
  if counts and os.time() - began >= busy then return 60000 end
  return 0
end

done = function(summary, latency, requests)
  local e, open = summary.errors, 0
  for _, t in ipairs(threads) do
    if t:get("counts") then open = open + t:get("sent") end
  end
  open = math.max(open - summary.requests - e.read - e.write, 0)
  io.write(string.format('{"requests":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,"open":%d,"status":%d,"p99":%g,"max":%g}\n',
    summary.requests, e.connect, e.read, e.write, e.timeout, open, e.status, latency:percentile(99) / 1e3, latency.max / 1e3))
end
