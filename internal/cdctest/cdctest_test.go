package cdctest

import (
	"context"
	"flag"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

var (
	long     = flag.Bool("long", false, "run the tests with kills for minutes")
	seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0: the fixed ones")
	rounds   = flag.Int("rounds", 0, "disturbances of each random test; 0: few")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// within bounds a statement, and what a test waits for.
const within = 90 * time.Second

func newRand(t testing.TB, seed uint64) *rand.Rand {
	if *seedFlag != 0 {
		seed = *seedFlag
	}
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// disturbances picks how many there are in the ordinary and in the long run, unless -rounds says.
func disturbances(short, forLong int) int {
	switch {
	case *rounds > 0:
		return *rounds
	case *long:
		return forLong
	}
	return short
}

// exec runs statements and fails the test on an error.
func exec(t testing.TB, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := query(c, sql); err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
}

// query returns the rows of a query, each as its values' text between bars, sorted.
func query(c *pgx.Conn, sql string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	res, err := c.PgConn().Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range res {
		for _, row := range r.Rows {
			var b strings.Builder
			for i, v := range row {
				if i > 0 {
					b.WriteByte('|')
				}
				if v == nil {
					b.WriteString("∅")
				} else {
					b.Write(v)
				}
			}
			out = append(out, b.String())
		}
	}
	sort.Strings(out)
	return out, nil
}

func rowsOf(t testing.TB, c *pgx.Conn, sql string) []string {
	t.Helper()
	out, err := query(c, sql)
	if err != nil {
		t.Fatalf("%s\n%v", sql, err)
	}
	return out
}

// eventually waits until a query answers with exactly these rows; it may fail before (a column that has not come yet).
func eventually(t testing.TB, c *pgx.Conn, sql string, want ...string) {
	t.Helper()
	sort.Strings(want)
	var got []string
	var err error
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if got, err = query(c, sql); err == nil && slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("%s\nis (%v)\n  %s\nand should become\n  %s", sql, err, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
}

// same compares the answers of both sides to a query.
func same(t testing.TB, there, here *pgx.Conn, sqlThere, sqlHere string) {
	t.Helper()
	a, b := rowsOf(t, there, sqlThere), rowsOf(t, here, sqlHere)
	if slices.Equal(a, b) {
		return
	}
	lacks, extra := minus(a, b), minus(b, a)
	t.Errorf("%s\n%d rows there, %d here; lacking here (%d): %s; too many here (%d): %s", sqlHere, len(a), len(b),
		len(lacks), strings.Join(lacks[:min(len(lacks), 10)], " "), len(extra), strings.Join(extra[:min(len(extra), 10)], " "))
}

// minus lists the rows of a, sorted, that b lacks.
func minus(a, b []string) []string {
	var out []string
	for len(a) > 0 {
		switch {
		case len(b) == 0 || a[0] < b[0]:
			out = append(out, a[0])
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return out
}

// proxy passes connections on to a database, and can cut them.
type proxy struct {
	l       net.Listener
	network string
	target  string
	wg      sync.WaitGroup
	mu      struct {
		sync.Mutex
		conns map[net.Conn]bool
	}
}

// newProxy listens on a port of 127.0.0.1 until the test ends. target is a host and port, or the path of a socket.
func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, network: "tcp", target: target}
	if strings.HasPrefix(target, "/") {
		p.network = "unix"
	}
	p.mu.conns = map[net.Conn]bool{}
	p.wg.Add(1)
	go p.serve() // the clean-up waits
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) port() int { return p.l.Addr().(*net.TCPAddr).Port }

func (p *proxy) serve() {
	defer p.wg.Done()
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial(p.network, p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		p.mu.Lock()
		p.mu.conns[in], p.mu.conns[out] = true, true
		p.mu.Unlock()
		p.wg.Add(2)
		go p.pass(in, out) // the clean-up waits
		go p.pass(out, in) // the clean-up waits
	}
}

func (p *proxy) pass(from, to net.Conn) {
	defer p.wg.Done()
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.mu.conns, from)
}

// cut ends all connections under way.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.mu.conns {
		_ = c.Close()
	}
}
