package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestOnError: what happens to a record that does not decode is the source's to say; none of it stops others.
func TestOnError(t *testing.T) {
	in := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(in, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("x.json", "{\"a\":1}\n")
	s := harness.New(t)
	c := s.Conn()
	source := func(name, policy string) string {
		return fmt.Sprintf(`CREATE SOURCE %s (a int) WITH (connector = 'posix_fs', posix_fs.root = '%s', match_pattern = '*.json', posix_fs.poll.interval = '20', on_error = '%s') FORMAT PLAIN ENCODE JSON`, name, in, policy)
	}
	if err := try(c, source("bad", "ignore")); err == nil {
		t.Error("an unknown policy was accepted")
	}
	for _, policy := range []string{"quarantine", "skip", "fail"} {
		exec(t, c, source("s_"+policy, policy))
		exec(t, c, fmt.Sprintf("CREATE MATERIALIZED VIEW v_%[1]s AS SELECT count(*) AS n, sum(a) AS total FROM s_%[1]s", policy))
	}
	write("y.json", "not json\n{\"a\":2}\n") // after the jobs have come to be: a job that fails at once fails its CREATE
	aside := func(policy string) string {
		return one(t, c, fmt.Sprintf("SELECT count(*) FROM millrace_catalog.quarantine q JOIN millrace_catalog.jobs j ON q.job = j.id WHERE j.name = 'v_%s'", policy))
	}
	for _, want := range []struct{ policy, rows, aside string }{{"quarantine", "2", "1"}, {"skip", "2", "0"}} {
		got := ""
		for range 100 { // the file is read in its own time
			if got = one(t, c, "SELECT n FROM v_"+want.policy); got == want.rows {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if got != want.rows || aside(want.policy) != want.aside {
			t.Errorf("%s: %s rows and %s kept aside, want %s and %s", want.policy, got, aside(want.policy), want.rows, want.aside)
		}
	}
	state := ""
	for range 100 {
		if state = one(t, c, "SELECT state FROM millrace_catalog.jobs WHERE name = 'v_fail'"); state == "failed" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if state != "failed" {
		t.Errorf("the job with on_error = 'fail' is %s", state)
	}
	exec(t, c, "CREATE TABLE alive (a int)")
	exec(t, c, "INSERT INTO alive VALUES (1)")
	if got := one(t, c, "SELECT a FROM alive"); got != "1" {
		t.Errorf("after a failed job the server answers %s", got)
	}
	exec(t, c, "DROP MATERIALIZED VIEW v_fail")
}
