package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// lines collects what is printed.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

var timestamp = regexp.MustCompile(`(?m)^\d+ `)

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return timestamp.ReplaceAllString(l.b.String(), "")
}

// TestFollow: the program prints each change once, also those made while it did not run.
func TestFollow(t *testing.T) {
	n := harness.NewNode(t)
	c := n.Conn()
	if _, err := c.Exec(t.Context(), "CREATE TABLE t (id int PRIMARY KEY, v text)"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "position")
	run := func(sql, want string) {
		t.Helper()
		if sql != "" {
			if _, err := c.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		out := &lines{}
		done := make(chan error, 1)
		go func() { done <- follow(ctx, n.URL(), "t", file, out) }() // run waits for it
		for end := time.Now().Add(10 * time.Second); out.String() != want && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		}
		time.Sleep(300 * time.Millisecond) // more would come now if anything came twice; the position is written
		cancel()
		<-done
		if got := out.String(); got != want {
			t.Errorf("printed\n%swant\n%s", got, want)
		}
	}
	run("INSERT INTO t VALUES (1, 'a')", "+1 [1 a]\n")
	run("UPDATE t SET v = 'b' WHERE id = 1", "-1 [1 a]\n+1 [1 b]\n")
	run("", "")
	run("DELETE FROM t", "-1 [1 b]\n")
}
