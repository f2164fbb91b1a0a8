package sqllogictest_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/sqllogictest"
)

// TestFiles runs every .slt file of this folder against a server process of its own, on a free port and an
// empty data folder: what one file breaks does not show in the next. MILLRACE_SLT limits it to the files whose
// path contains that text; MILLRACE_SLT_REWRITE=1 writes what the server answers into the files, to be
// reviewed like code.
func TestFiles(t *testing.T) {
	binary := build(t)
	eachFile(t, func(t *testing.T) *sqllogictest.Runner {
		s := &process{binary: binary, data: filepath.Join(t.TempDir(), "data")}
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.kill)
		return &sqllogictest.Runner{
			Connect: func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.Connect(ctx, s.url) },
			Labels:  []string{"millrace"},
			Restart: func(context.Context) error { s.kill(); return s.start() },
		}
	})
}

// eachFile runs each file as a subtest with a runner of its own.
func eachFile(t *testing.T, runner func(t *testing.T) *sqllogictest.Runner) {
	t.Helper()
	files, err := sqllogictest.Files(".")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range files {
		if !strings.Contains(file, os.Getenv("MILLRACE_SLT")) {
			continue
		}
		ran++
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			r := runner(t)
			r.Leftovers, r.StrictTypes = sqllogictest.Relations, true
			r.Rewrite = os.Getenv("MILLRACE_SLT_REWRITE") != ""
			r.Timeout, r.MaxFailures = 20*time.Second, 1000
			if err := r.File(t.Context(), file); err != nil {
				t.Error(err)
			}
		})
	}
	if ran == 0 {
		t.Fatal("there is no file to run")
	}
}

// build compiles the server, once for the run. MILLRACE_BIN names one that is compiled already.
func build(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("MILLRACE_BIN"); bin != "" {
		return bin
	}
	bin := filepath.Join(t.TempDir(), "millrace")
	cmd := exec.Command("go", "build", "-o", bin, "../cmd/millrace")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the server: %v\n%s", err, out)
	}
	return bin
}

// process is a server process that can be killed and started again on the same folder.
type process struct {
	binary, data string
	url          string // to connect to; another port after each start
	cmd          *exec.Cmd
	log          bytes.Buffer // what the process said on standard error
}

var ready = regexp.MustCompile(`psql -h (\S+) -p (\d+)`)

// startWithin bounds the time to the first connection. The server promises one second; a loaded machine
// running all tests at once gets more.
const startWithin = 30 * time.Second

// start runs the server and returns when it has said that it is ready.
func (s *process) start() error {
	s.log.Reset()
	s.cmd = exec.Command(s.binary, "start", "--listen", "127.0.0.1:0", "--data", s.data)
	s.cmd.Stderr = &s.log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	timer := time.AfterFunc(startWithin, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	m := ready.FindStringSubmatch(line)
	if m == nil {
		s.kill()
		return fmt.Errorf("server did not become ready: %q, %v\n%s", line, err, s.log.String())
	}
	s.url = "postgres://root@" + net.JoinHostPort(m[1], m[2]) + "/dev?sslmode=disable"
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the process, which kill waits for
	return nil
}

// kill ends the server as kill -9 does.
func (s *process) kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}
