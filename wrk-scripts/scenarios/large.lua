-- GET of an answer of 64 KiB: run.sh starts the origin with --bytes 65536.
wrk.method = "GET"
