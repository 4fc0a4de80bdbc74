-- GET of an answer of 64 KiB: the origin answers /bytes/N with N bytes.
function init(args)
  wrk.path = wrk.path:gsub("/[^/]*$", "/bytes/65536")
end
