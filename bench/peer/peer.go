// Package peer runs the servers that a benchmark compares: this very build, and a real PostgreSQL 15.
//
// The idea: both are processes of their own, on temporary folders and free ports of 127.0.0.1, so that one client can do the
// same to both, and what each takes of processor and memory can be read from /proc.
//
// A Server belongs to one goroutine. The PostgreSQL is given the memory that its documentation advises, and
// every other setting is its default.
//
// Invariants: a stopped server leaves no process and no file behind.
//
// It measures nothing by itself. Start at Postgres and Millrace.
package peer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/server"
)

// startWithin and stopWithin bound a server's start and end.
const (
	startWithin = time.Minute
	stopWithin  = time.Minute
)

// Server is a running server.
type Server struct {
	Name string // for reports
	DSN  string
	Port int
	dir  string
	cmd  *exec.Cmd
	log  *bytes.Buffer
	in   io.WriteCloser // tells our own server what to do
	out  *bufio.Reader  // and reads that it has done it
	stop os.Signal
}

// Bin is the folder of PostgreSQL 15's programs, "" where there is none.
func Bin() string {
	dirs := []string{os.Getenv("POSTGRES_BIN"), "/usr/lib/postgresql/15/bin"}
	if p, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(p))
	}
	for _, d := range dirs {
		if d == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil {
			return d
		}
	}
	return ""
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Postgres starts a PostgreSQL with bytewise collation. settings are name=value.
func Postgres(ctx context.Context, settings ...string) (*Server, error) {
	bin := Bin()
	if bin == "" {
		return nil, errors.New("there is no PostgreSQL 15 in POSTGRES_BIN, /usr/lib/postgresql/15/bin or PATH: apt-get install postgresql-15")
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mr-pg") // short: a socket's path has 107 bytes
	if err != nil {
		return nil, err
	}
	s := &Server{Name: "postgres", DSN: fmt.Sprintf("postgres://root@127.0.0.1:%d/postgres", port), Port: port, dir: dir, log: &bytes.Buffer{}, stop: syscall.SIGINT}
	attr, err := runAs(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	data := filepath.Join(dir, "data")
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "root", "--auth=trust", "--locale=C", "-E", "UTF8", "--no-sync")
	init.SysProcAttr, init.Dir = attr, dir
	if out, err := init.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("make a PostgreSQL cluster: %w: %s", err, out), os.RemoveAll(dir))
	}
	args := []string{"-D", data, "-k", dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=127.0.0.1", "-c", "timezone=UTC"}
	for _, x := range settings {
		args = append(args, "-c", x)
	}
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), args...)
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = attr, dir, s.log
	return s, s.start(ctx)
}

// runAs gives dir to user postgres when we are root, whom PostgreSQL refuses to run as.
func runAs(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("find the user to run PostgreSQL as: %w", err)
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// Millrace starts this program again, with args that lead to Serve.
func Millrace(ctx context.Context, args ...string) (*Server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return nil, err
	}
	s := &Server{Name: "millrace", DSN: fmt.Sprintf("postgres://root@127.0.0.1:%d/dev", port), Port: port, dir: dir, log: &bytes.Buffer{}, stop: syscall.SIGTERM}
	s.cmd = exec.Command(self, args...)
	s.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d", serveAddr, port), serveData+"="+dir)
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	return s, s.start(ctx)
}

func (s *Server) start(ctx context.Context) error {
	if err := s.cmd.Start(); err != nil {
		return errors.Join(err, os.RemoveAll(s.dir))
	}
	deadline := time.Now().Add(startWithin)
	for {
		c, err := pgx.Connect(ctx, s.DSN)
		if err == nil {
			return c.Close(ctx)
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("connect to %s: %w: %s", s.Name, err, s.log), s.Stop())
		}
		time.Sleep(30 * time.Millisecond)
	}
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	if s.in != nil {
		_ = s.in.Close()
	}
	_ = s.cmd.Process.Signal(s.stop)
	t := time.AfterFunc(stopWithin, func() { _ = s.cmd.Process.Kill() })
	defer t.Stop()
	_ = s.cmd.Wait() // how it ends does not matter: its files go
	return os.RemoveAll(s.dir)
}

// CPU is the processor time, user and system, that the server has taken so far.
func (s *Server) CPU() time.Duration {
	var ticks int64
	for _, pid := range family(s.cmd.Process.Pid) {
		f := stat(pid)
		if len(f) > 14 {
			ticks += f[11] + f[12]
			if pid == s.cmd.Process.Pid {
				ticks += f[13] + f[14] // of its children that have ended
			}
		}
	}
	return time.Duration(ticks) * (time.Second / 100)
}

// PeakRSS is the most memory that the server's first process has had resident; for PostgreSQL it says little.
func (s *Server) PeakRSS() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// stat reads the fields of /proc/pid/stat behind the name, the state letter as 0: the parent is field 1, times are 11 to 14.
func stat(pid int) []int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(text, ')')
	if i < 0 {
		return nil
	}
	fields := strings.Fields(string(text[i+1:]))
	out := make([]int64, len(fields))
	for k, f := range fields {
		out[k], _ = strconv.ParseInt(f, 10, 64)
	}
	return out
}

// family lists a process and its children.
func family(pid int) []int {
	out := []int{pid}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return out
	}
	for _, n := range names {
		p, err := strconv.Atoi(filepath.Base(filepath.Dir(n)))
		if err != nil || p == pid {
			continue
		}
		if f := stat(p); len(f) > 1 && f[1] == int64(pid) {
			out = append(out, p)
		}
	}
	return out
}

// The environment that tells the started program where to listen and where its data goes.
const (
	serveAddr = "MILLRACE_BENCH_ADDR"
	serveData = "MILLRACE_BENCH_DATA"
)

// Serve runs a server in this process, which Millrace has started, until standard input ends. A line "profile FILE" begins a
// processor profile, "profile" ends it, "mem FILE" writes a heap profile; each is answered with a line.
func Serve(ctx context.Context, cfg server.Config) error {
	cfg.DataDir = os.Getenv(serveData)
	s, err := server.Start(ctx, cfg, os.Getenv(serveAddr))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	p := &profiler{}
	for lines.Scan() {
		if err := p.do(strings.Fields(lines.Text())); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return s.Stop(end)
}

// Tell sends our own server a line for Serve.
func (s *Server) Tell(line string) error {
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		return err
	}
	answer, err := s.out.ReadString('\n')
	if err != nil {
		return err
	}
	if answer != "ok\n" {
		return errors.New(strings.TrimSpace(answer))
	}
	return nil
}

// IsServer says that this process was started by Millrace and is to call Serve.
func IsServer() bool { return os.Getenv(serveAddr) != "" }
