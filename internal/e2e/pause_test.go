package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestPauseOverKills: a paused source reads nothing, before and after a kill, and one that goes on counts each row once;
// a limit holds.
func TestPauseOverKills(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE SOURCE src (v bigint) WITH (connector = 'datagen', fields.v.kind = 'sequence', fields.v.end = 100000, datagen.rows.per.second = 0, source_rate_limit = 2000)")
	exec(t, c, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, count(DISTINCT v) AS d FROM src")
	count := func() int {
		t.Helper()
		n, err := strconv.Atoi(one(t, c, "SELECT n FROM m"))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	began, from := time.Now(), count()
	time.Sleep(1500 * time.Millisecond) // the rate is what is measured
	// A batch of a fifth of a second may be on its way at either end.
	if got, most := count()-from, int(2000*time.Since(began).Seconds())+800; got > most || got < 1000 {
		t.Errorf("%d rows in %v at 2000 a second", got, time.Since(began))
	}
	exec(t, c, "ALTER SOURCE src PAUSE")
	time.Sleep(200 * time.Millisecond) // what was on its way
	at := count()
	still := func(when string) {
		t.Helper()
		time.Sleep(500 * time.Millisecond)
		if got := count(); got != at {
			t.Errorf("%s the paused source has read %d rows", when, got-at)
		}
	}
	still("at first")
	exec(t, c, "FLUSH; CHECKPOINT")
	s.Restart()
	c = s.Conn()
	still("after a kill")
	exec(t, c, "ALTER SOURCE src SET source_rate_limit = DEFAULT; ALTER SOURCE src RESUME")
	settled(t, c, "SELECT * FROM m", []string{"100000|100000"}, 20*time.Second)
}

// TestPausedSink: a paused sink delivers nothing, remembers what it owes over a kill, and does not hold up a stop.
func TestPausedSink(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	s := harness.New(t)
	c := s.Conn()
	exec(t, c, "CREATE TABLE t (v int)")
	exec(t, c, fmt.Sprintf("CREATE SINK k FROM t WITH (connector = 'posix_fs', posix_fs.root = '%s', force_append_only = 'true', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON", out))
	exec(t, c, "ALTER SINK k PAUSE")
	exec(t, c, "INSERT INTO t VALUES (1), (2); FLUSH; CHECKPOINT")
	files := func() (lines int) {
		t.Helper()
		_ = filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if b, err := os.ReadFile(path); err == nil {
					for _, ch := range b {
						if ch == '\n' {
							lines++
						}
					}
				}
			}
			return nil
		})
		return lines
	}
	time.Sleep(300 * time.Millisecond)
	s.Restart()
	c = s.Conn()
	time.Sleep(300 * time.Millisecond)
	if n := files(); n != 0 {
		t.Errorf("a paused sink has delivered %d rows", n)
	}
	if _, took := s.Stop(); took > 3*time.Second {
		t.Errorf("the server took %v to stop with a paused sink", took)
	}
	s.Start()
	c = s.Conn()
	exec(t, c, "ALTER SINK k RESUME")
	n := 0
	for end := time.Now().Add(10 * time.Second); n < 2 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		n = files()
	}
	if n != 2 {
		t.Errorf("the sink has delivered %d rows, want 2", n)
	}
}
