// Package cdctest proves that tables here follow those of real databases elsewhere, on the real binary: through kills of either
// side, cut connections and changed columns, and without ever showing half a transaction.
//
// The idea: a test starts a database (internal/dbtest) and a server (internal/e2e/harness), lets clients work on the
// database, disturbs everything in between, and at the end compares each table and a view over them with the database. Meanwhile somebody
// asks the server for sums that every transaction keeps.
//
// The tests run in the goroutine of the test and in clients that it waits for; processes end with their test.
//
// Invariants: every random choice comes from a seed that the test prints; nothing listens beyond 127.0.0.1 and nothing is left behind.
//
// There is no code here besides tests. The flags -long, -seed and -rounds make them longer. Start at TestPostgresTorture.
package cdctest
