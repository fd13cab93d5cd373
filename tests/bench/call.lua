-- wrk script: posts one JSON-RPC message again and again; counts every answer that is not 200 or lacks the expected text.
-- wrk ... -s call.lua URL -- BODY EXPECTED [HEADER VALUE]...

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrong = 0
  expected = args[2]
  wrk.method = "POST"
  wrk.body = args[1]
  for position = 3, #args, 2 do
    wrk.headers[args[position]] = args[position + 1]
  end
end

function response(status, headers, body)
  if status ~= 200 or not body:find(expected, 1, true) then
    wrong = wrong + 1
  end
end

function done(summary, latency, requests)
  local wrong_answers = 0
  for _, thread in ipairs(threads) do
    wrong_answers = wrong_answers + thread:get("wrong")
  end
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('RESULT {"calls": %d, "microseconds": %d, "p50": %d, "p99": %d, "wrong": %d, "failed": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), wrong_answers, failed))
end
