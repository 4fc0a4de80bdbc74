-- GETs and small POSTs over many paths and queries under the prefix; each thread walks its own repeatable order.
local base
local requests = {}
local turn = 0

function init(args)
  base = wrk.path:gsub("/[^/]*$", "")
  for n = 1, 200 do
    local path = string.format("%s/items/%d/part-%d?page=%d&q=word%d", base, n * 7919 % 1000, n % 13, n % 5, n)
    if n % 5 == 0 then
      requests[n] = wrk.format("POST", path, nil, string.rep("y", n))
    else
      requests[n] = wrk.format("GET", path)
    end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end
