package harness

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/server"
)

// Node is a server inside the test process. It can be stopped and started, not killed.
type Node struct {
	Data string
	t    testing.TB
	s    *server.Server
	cfg  server.Config
}

// NewNode returns a running node on an empty folder.
func NewNode(t testing.TB) *Node {
	t.Helper()
	n := &Node{Data: filepath.Join(t.TempDir(), "data"), t: t}
	n.cfg = server.Config{DataDir: n.Data, Parallelism: 2, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	t.Cleanup(n.Stop)
	n.Start()
	return n
}

// Start opens the node on its folder.
func (n *Node) Start() {
	n.t.Helper()
	s, err := server.Start(context.Background(), n.cfg, "127.0.0.1:0")
	if err != nil {
		n.t.Fatalf("start node: %v", err)
	}
	n.s = s
}

// Stop closes the node with a last checkpoint.
func (n *Node) Stop() {
	if n.s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.s.Stop(ctx); err != nil {
		n.t.Errorf("stop node: %v", err)
	}
	n.s = nil
}

// Addr returns host and port; they change with every Start.
func (n *Node) Addr() string { return n.s.Addr().String() }

// URL returns the connection string; it changes with every Start.
func (n *Node) URL() string { return url(n.s.Addr().String()) }

// Conn connects; the connection is closed with the test.
func (n *Node) Conn() *pgx.Conn { return connect(n.t, n.URL()) }

// FailJob makes the job of a relation fail, as an error of one of its operators does.
func (n *Node) FailJob(relation string) {
	for _, r := range n.s.Catalog.Snapshot().Sorted() {
		if r.Name == relation {
			n.s.Engine.FailJob(r.ID, errors.New("a test wants it to"))
		}
	}
}
