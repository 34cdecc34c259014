-- A request for wrk: URL, headers and body are in a file of Lua, which the environment variable WRK_REQUEST names. It prints the figures as JSON.
function init()
  local request = dofile(assert(os.getenv("WRK_REQUEST")))
  wrk.method = "POST"
  for name, value in pairs(request.headers) do wrk.headers[name] = value end
  local file = assert(io.open(request.body, "rb"))
  wrk.body = file:read("*a")
  file:close()
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '\n{"images":%d,"failed":%d,"p50":%f,"p95":%f,"p99":%f}\n',
    summary.requests, failed, latency:percentile(50) / 1000,
    latency:percentile(95) / 1000, latency:percentile(99) / 1000))
end
