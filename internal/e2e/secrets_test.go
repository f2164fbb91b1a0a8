package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// TestSecretsAtRest: the value of a secret is in no file and no line of the log, before and after a kill; what uses it
// goes on. Another key does not open it, and ALTER SECRET gives it a new value.
func TestSecretsAtRest(t *testing.T) {
	const value = "4177771" // rows that the source makes
	s := harness.New(t, "--log-level", "debug")
	c := s.Conn()
	exec(t, c, "CREATE SECRET n AS '"+value+"'")
	exec(t, c, "CREATE SOURCE src (v int) WITH (connector = 'datagen', fields.v.kind = 'sequence', fields.v.end = SECRET n, datagen.rows.per.second = '1000')")
	exec(t, c, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM src")
	if err := try(c, "CREATE SOURCE bad (v int) WITH (connector = 'posix_fs', posix_fs.root = SECRET n)"); err == nil || strings.Contains(err.Error(), value) {
		t.Errorf("an impossible folder: %v", err)
	}
	exec(t, c, "FLUSH; CHECKPOINT")
	clean := func(when string) {
		t.Helper()
		err := filepath.WalkDir(s.Data, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // files come and go
			}
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(value)) {
				t.Errorf("%s the value is in %s", when, path)
			}
			return nil
		})
		if err != nil || strings.Contains(s.Log(), value) {
			t.Errorf("%s the value is in the log, or %v", when, err)
		}
	}
	clean("at first")
	s.Restart()
	c = s.Conn()
	before := one(t, c, "SELECT n FROM m")
	moved := false
	for end := time.Now().Add(10 * time.Second); !moved && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		moved = one(t, c, "SELECT n FROM m") != before
	}
	if !moved {
		t.Error("the source does not go on after a kill")
	}
	clean("after a kill")

	s.Kill()
	s.Args = append(s.Args, "--secret-key", strings.Repeat("ab", 32))
	s.Start()
	c = s.Conn()
	err := try(c, "CREATE SOURCE again (v int) WITH (connector = 'datagen', fields.v.kind = 'sequence', fields.v.end = SECRET n)")
	if err == nil || !strings.Contains(err.Error(), `secret "n" cannot be decrypted`) {
		t.Errorf("with another key: %v", err)
	}
	if !strings.Contains(s.Log(), "secret does not open") {
		t.Error("the log does not say that a secret does not open")
	}
	exec(t, c, "ALTER SECRET n AS '"+value+"'")
	exec(t, c, "CREATE SOURCE again (v int) WITH (connector = 'datagen', fields.v.kind = 'sequence', fields.v.end = SECRET n)")
}
