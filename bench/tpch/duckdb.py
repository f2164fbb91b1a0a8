"""Times queries on DuckDB in memory: the medians of some rounds each, wall clock and processor, as JSON on standard output."""
import json
import sys
import time

import duckdb

job = json.loads(sys.argv[1])
con = duckdb.connect()
con.execute("SET enable_progress_bar = false")  # it writes to standard output
for t in job["tables"]:
    con.execute("CREATE TABLE %s (%s)" % (t["name"], t["columns"]))
    con.execute("COPY %s FROM '%s' (FORMAT csv, DELIMITER '\t', QUOTE '', ESCAPE '', HEADER false)" % (t["name"], t["file"]))
out = {}
for n, sql in job["queries"].items():
    walls, cpus = [], []
    for _ in range(job["rounds"]):
        wall, cpu = time.perf_counter(), time.process_time()
        con.execute(sql).fetchall()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    out[n] = {"seconds": sorted(walls)[len(walls) // 2], "cpu_seconds": sorted(cpus)[len(cpus) // 2]}
print(json.dumps(out))
