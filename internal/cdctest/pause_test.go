package cdctest

import (
	"testing"
	"time"
)

// TestPause: a paused source passes nothing on; what happened meanwhile comes when it goes on.
func TestPause(t *testing.T) {
	w := newPgWorld(t)
	exec(t, w.there, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
	exec(t, w.here, "CREATE SOURCE shop WITH ("+w.options()+")")
	exec(t, w.here, "CREATE TABLE t (*) FROM shop TABLE 'public.t'")
	eventually(t, w.here, "SELECT id FROM t", "1")
	if _, err := w.here.Exec(t.Context(), "ALTER TABLE t PAUSE"); err == nil {
		t.Error("one of a source's tables was paused")
	}
	exec(t, w.here, "ALTER SOURCE shop PAUSE")
	exec(t, w.there, "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)")
	time.Sleep(500 * time.Millisecond) // it would come now
	eventually(t, w.here, "SELECT id FROM t", "1")
	w.mr.Restart()
	w.here = w.mr.Conn()
	time.Sleep(500 * time.Millisecond)
	eventually(t, w.here, "SELECT id FROM t", "1")
	exec(t, w.here, "ALTER SOURCE shop RESUME")
	eventually(t, w.here, "SELECT id FROM t", "1", "2", "3")
}
