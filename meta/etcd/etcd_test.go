package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func start(t testing.TB, dir string, log *bytes.Buffer) *Etcd {
	t.Helper()
	e, err := Start(t.Context(), Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmbeddedKeepsItsKeys(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	ctx := context.Background()
	for round := range 3 {
		e := start(t, dir, &log)
		key := fmt.Sprint("k", round)
		if _, err := e.Client().Put(ctx, key, "v"); err != nil {
			t.Fatal(err)
		}
		r, err := e.Client().Get(ctx, "k", clientv3.WithPrefix())
		if err != nil || len(r.Kvs) != round+1 || string(r.Kvs[round].Key) != key {
			t.Errorf("round %d: %v, %v", round, r, err)
		}
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("a healthy server logs:\n%s", log.String())
	}
}

func TestPrefixAndElections(t *testing.T) {
	var log bytes.Buffer
	e := start(t, t.TempDir(), &log)
	defer e.Close()
	ctx := t.Context()
	session, err := concurrency.NewSession(e.Client(), concurrency.WithTTL(5))
	if err != nil {
		t.Fatal(err)
	}
	election := concurrency.NewElection(session, "leader")
	if err := election.Campaign(ctx, "me"); err != nil {
		t.Fatal(err)
	}
	r, err := e.Client().Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(election.Key()), "=", election.Rev())).
		Then(clientv3.OpPut("current", "1")).Commit()
	if err != nil || !r.Succeeded {
		t.Errorf("transaction of the leader: %v, %v", r, err)
	}
	if !strings.HasPrefix(election.Key(), "leader/") {
		t.Errorf("leader key is %s", election.Key())
	}
	session.Close()
}

func TestEmbeddedListensNowhere(t *testing.T) {
	var log bytes.Buffer
	e := start(t, t.TempDir(), &log)
	defer e.Close()
	if n := len(e.server.Clients) + len(e.server.Peers); n != 0 {
		t.Errorf("%d listeners", n)
	}
	if !e.Embedded() {
		t.Error("not embedded")
	}
}

func TestDialFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	_, err = Start(t.Context(), Options{Endpoints: []string{l.Addr().String()}, DialTimeout: 200 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a server that does not answer: %v", err)
	}
	if _, err := Start(t.Context(), Options{}); err == nil {
		t.Error("no folder and no endpoints is accepted")
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir() + "/new"
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("second lock gives %v", err)
	}
	if want := fmt.Sprintf("data folder %s is locked by another millrace (pid %d)", dir, os.Getpid()); err.Error() != want {
		t.Errorf("message is %q", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock, err = Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
}

// The lock ends with its process, even one that is killed.
func TestLockOfAnotherProcess(t *testing.T) {
	if dir := os.Getenv("MILLRACE_TEST_LOCK_DIR"); dir != "" {
		if _, err := Lock(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		select {}
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockOfAnotherProcess$")
	cmd.Env = append(os.Environ(), "MILLRACE_TEST_LOCK_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 7)
	if _, err := out.Read(line); err != nil || string(line) != "locked\n" {
		t.Errorf("child says %q, %v", line, err)
	}
	_, err = Lock(dir)
	var locked *LockedError
	if !errors.As(err, &locked) || locked.PID != cmd.Process.Pid {
		t.Errorf("lock gives %v, child is %d", err, cmd.Process.Pid)
	}
	cmd.Process.Kill()
	cmd.Wait()
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
}

// Start on an empty folder until the first put, and on one that exists; then a transaction.
func BenchmarkStart(b *testing.B) {
	for _, tick := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond} {
		for _, fresh := range []bool{true, false} {
			b.Run(fmt.Sprintf("tick=%v/fresh=%v", tick, fresh), func(b *testing.B) {
				dir := b.TempDir()
				for b.Loop() {
					if fresh {
						dir = b.TempDir()
					}
					e, err := Start(context.Background(), Options{Dir: dir, Tick: tick})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := e.Client().Put(context.Background(), "a", "b"); err != nil {
						b.Fatal(err)
					}
					b.StopTimer()
					e.Close()
					b.StartTimer()
				}
			})
		}
	}
}

func BenchmarkTxn(b *testing.B) {
	var log bytes.Buffer
	e := start(b, b.TempDir(), &log)
	defer e.Close()
	for b.Loop() {
		if _, err := e.Client().Put(context.Background(), "a", "b"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClose(b *testing.B) {
	var log bytes.Buffer
	for b.Loop() {
		b.StopTimer()
		e := start(b, b.TempDir(), &log)
		b.StartTimer()
		e.Close()
	}
}
