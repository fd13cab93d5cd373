-- call.lua, but that `@` in body and headers is a number from 0 to TURNS - 1, another one in each request.

dofile(os.getenv("CALL_LUA"))

local fixed, requests, turn = init, {}, 0

function init(args)
  fixed(args)
  for number = 0, tonumber(os.getenv("TURNS")) - 1 do
    local headers = {}
    for name, value in pairs(wrk.headers) do
      headers[name] = value:gsub("@", number)
    end
    requests[number] = wrk.format(nil, nil, headers, (wrk.body:gsub("@", number)))
  end
end

function request()
  turn = (turn + 1) % tonumber(os.getenv("TURNS"))
  return requests[turn]
end
