"""Times queries on DuckDB in memory: the median of some rounds each, as JSON on standard output."""
import json
import sys
import time

import duckdb

job = json.loads(sys.argv[1])
con = duckdb.connect()
for t in job["tables"]:
    con.execute("CREATE TABLE %s (%s)" % (t["name"], t["columns"]))
    con.execute("COPY %s FROM '%s' (FORMAT csv, DELIMITER '\t', QUOTE '', ESCAPE '', HEADER false)" % (t["name"], t["file"]))
out = {}
for n, sql in job["queries"].items():
    times = []
    for _ in range(job["rounds"]):
        start = time.perf_counter()
        con.execute(sql).fetchall()
        times.append(time.perf_counter() - start)
    out[n] = sorted(times)[len(times) // 2]
print(json.dumps(out))
