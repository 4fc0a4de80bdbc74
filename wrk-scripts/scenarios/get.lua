-- Plain GET of a short text: what the seed's suite measures. The path comes from the command line.
wrk.method = "GET"
