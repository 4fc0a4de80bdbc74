-- GET of an answer of 64 KiB; run.sh starts the origin of bench/ with answers of that size.
wrk.method = "GET"
