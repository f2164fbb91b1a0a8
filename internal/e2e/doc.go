// Package e2e proves the promises of the whole database on the real binary: what was acknowledged is there
// after any number of kills, every view equals its query, concurrent writers lose nothing, sources and sinks
// count each record once, and bad input stops nobody.
//
// The idea: each file of tests holds one promise. A test starts a server (internal/e2e/harness), lets clients
// work, kills it at random moments, and compares what it answers afterwards with what it had acknowledged, with
// the same query run from scratch, and, where there is one, with a real PostgreSQL.
//
// The tests run in the goroutine of the test and in clients that it waits for; server processes end with
// their test.
//
// Invariants: every random choice comes from a seed that the test prints; loops are bounded; nothing listens
// beyond 127.0.0.1 and nothing is left behind.
//
// There is no code here besides tests, and nothing tests one package alone (those tests are beside the
// packages). The flags -long, -seed and -iterations make the random tests longer. Start at TestDurability.
package e2e
