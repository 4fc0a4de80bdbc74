<<<<<<< HEAD
-- GET of an answer of 64 KiB; run.sh starts the origin of bench/ with answers of that size.
=======
-- GET of an answer of 64 KiB: run.sh starts the origin with --bytes 65536.
>>>>>>> dd0b021 (The load generator tells when it was late itself; the large wrk scenario gets large answers)
wrk.method = "GET"
