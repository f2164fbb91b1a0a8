package e2e

import (
	"net"
	osexec "os/exec"
	"testing"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestPgbench runs PostgreSQL's benchmark program as it comes: both ways of making its tables, and its transactions in each query mode.
func TestPgbench(t *testing.T) {
	path, err := osexec.LookPath("pgbench")
	if err != nil {
		t.Skip("there is no pgbench in PATH: apt-get install postgresql-15")
	}
	node := harness.NewNode(t)
	conn := node.Conn()
	host, port, err := net.SplitHostPort(node.Addr())
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := osexec.CommandContext(t.Context(), path, append([]string{"-h", host, "-p", port, "-U", "root"}, append(args, "dev")...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("pgbench %v: %v\n%s", args, err, out)
		}
	}
	for steps, mode := range map[string]string{"dtgvp": "simple", "dtGvp": "extended", "dtgvpf": "prepared"} {
		run("-i", "-s", "1", "-q", "-I", steps)
		run("-t", "20", "-c", "2", "-M", mode)
		run("-n", "-S", "-t", "100", "-c", "2", "-M", mode)
		run("-n", "-N", "-t", "20", "-c", "2", "-M", mode)
		var accounts, history, tellers, branches int
		err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_history),
			(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(bbalance) FROM pgbench_branches)`).Scan(&accounts, &history, &tellers, &branches)
		if err != nil {
			t.Fatal(err)
		}
		// Each run without -n empties the history; the last one was followed by one of -N.
		if accounts != 100_000 || history != 80 || tellers != branches {
			t.Errorf("steps %s: %d accounts, %d entries in the history, want 100000 and 80; sums %d and %d", steps, accounts, history, tellers, branches)
		}
	}
}
