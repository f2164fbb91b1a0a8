package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// failing is a node whose jobs fail while it is written to.
type failing struct {
	t      *testing.T
	n      *harness.Node
	rng    *rand.Rand
	dir    string
	follow []*followed
	next   int
	mu     sync.Mutex // of next
}

var failingViews = []view{
	{"by_v", "SELECT v % 17 AS m, count(*) AS n, max(name) AS high FROM item GROUP BY v % 17"},
	{"joined", "SELECT b.m, i.id, i.name FROM by_v b JOIN item i ON i.v % 17 = b.m WHERE i.v % 5 = 0"},
	{"per_n", "SELECT n % 50 AS m, count(*) AS c, sum(k) AS s FROM journal GROUP BY n % 50"},
	{"all_of", "SELECT m, n FROM by_v UNION ALL SELECT m, c FROM per_n UNION ALL VALUES (0::bigint, 0::bigint)"},
	{"tens", "SELECT n, k FROM journal WHERE k % 10 = 0"},
}

func newFailing(t *testing.T) *failing {
	f := &failing{t: t, n: harness.NewNode(t), rng: newRand(t, 99), dir: t.TempDir()}
	c := f.n.Conn()
	exec(t, c, `CREATE TABLE item (id bigint PRIMARY KEY, v bigint, name text);
		CREATE TABLE journal (n bigint, k bigint) APPEND ONLY; CREATE TABLE landed (n bigint, k bigint)`)
	for _, v := range failingViews {
		exec(t, c, v.create())
	}
	for _, of := range []string{"journal", "tens"} {
		exec(t, c, fmt.Sprintf("CREATE SINK %s_files FROM %s WITH (connector = 'fs', fs.path = '%s/%s', rollover_seconds = '0') FORMAT PLAIN ENCODE JSON", of, of, f.dir, of))
	}
	exec(t, c, "CREATE SINK journal_into INTO landed FROM journal")
	for _, r := range []string{"item", "by_v", "joined", "tens"} {
		exec(t, c, fmt.Sprintf("CREATE SUBSCRIPTION %s_sub FROM %s WITH (retention = '1 hour')", r, r))
		f.follow = append(f.follow, &followed{t: t, sub: r + "_sub", rows: map[string]int{}})
	}
	return f
}

// write changes item and appends to journal until ctx ends; errors of jobs that are down are not its concern.
func (f *failing) write(ctx context.Context, seed uint64) {
	c, err := pgx.Connect(ctx, f.n.URL())
	if err != nil {
		return
	}
	defer c.Close(context.Background())
	rng := rand.New(rand.NewPCG(seed, 1))
	for ctx.Err() == nil {
		f.mu.Lock()
		f.next++
		n := f.next
		f.mu.Unlock()
		k := rng.IntN(200)
		change := fmt.Sprintf("INSERT INTO item SELECT g, %d, 'n%d' FROM generate_series(%d, %d) g ON CONFLICT (id) DO UPDATE SET v = excluded.v, name = excluded.name", n, n, k, k+rng.IntN(5))
		if rng.IntN(3) == 0 {
			change = fmt.Sprintf("DELETE FROM item WHERE id BETWEEN %d AND %d", k, k+rng.IntN(5))
		}
		within, cancel := context.WithTimeout(ctx, statementWithin)
		_, _ = c.Exec(within, change)
		_, err := c.Exec(within, fmt.Sprintf("INSERT INTO journal SELECT %d, g FROM generate_series(1, %d) g", n, 1+rng.IntN(30)))
		cancel()
		if c.IsClosed() {
			if c, err = pgx.Connect(ctx, f.n.URL()); err != nil {
				return
			}
		}
	}
}

// during runs f while there are writers.
func (f *failing) during(what func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 3 {
		seed := f.rng.Uint64()
		wg.Go(func() { f.write(ctx, seed) })
	}
	what()
	cancel()
	wg.Wait()
}

// fail makes a job fail, any of them.
func (f *failing) fail() {
	names := []string{"item", "journal", "journal_files", "tens_files", "journal_into", "landed", "item_sub", "by_v_sub", "joined_sub", "tens_sub"}
	for _, v := range failingViews {
		names = append(names, v.name)
	}
	f.n.FailJob(names[f.rng.IntN(len(names))])
}

// inFiles are the rows in the files of a folder.
func inFiles(t testing.TB, dir string, cols ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		r, err := os.Open(path)
		if err != nil {
			return err
		}
		defer r.Close()
		for s := bufio.NewScanner(r); s.Scan(); {
			var row map[string]json.Number
			if err := json.Unmarshal(s.Bytes(), &row); err != nil {
				return err
			}
			var v []string
			for _, c := range cols {
				v = append(v, row[c].String())
			}
			out = append(out, strings.Join(v, "|"))
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	sort.Strings(out)
	return out
}

// check compares everything with what it should be, once all jobs are back. Nobody writes.
func (f *failing) check() {
	f.t.Helper()
	c := f.n.Conn()
	eventually(f.t, c, "SELECT name, state, error FROM millrace_catalog.jobs WHERE state <> 'running'", nil, 30*time.Second)
	exec(f.t, c, "CHECKPOINT")
	checkViews(f.t, c, "after failures", failingViews)
	journal := rows(f.t, c, "SELECT n, k FROM journal")
	if len(journal) == 0 {
		f.t.Fatal("nothing was written")
	}
	eventually(f.t, c, "SELECT n, k FROM landed", journal, 20*time.Second)
	for name, want := range map[string][]string{"journal": journal, "tens": rows(f.t, c, "SELECT n, k FROM journal WHERE k % 10 = 0")} {
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // work that no statement waits for
			if d := diff(want, inFiles(f.t, filepath.Join(f.dir, name), "n", "k")); d == "" {
				break
			} else if time.Now().After(end) {
				f.t.Fatalf("files of %s: %s", name, d)
			}
		}
	}
	for _, s := range f.follow {
		want := rows(f.t, c, "SELECT * FROM "+strings.TrimSuffix(s.sub, "_sub"))
		slices.Sort(want)
		until := time.Now().Add(10 * time.Second)
		if err := s.catchUp(c, f.rng, func() bool { return slices.Equal(want, s.contents()) || time.Now().After(until) }); err != nil {
			f.t.Fatal(err)
		}
		if got := s.contents(); !slices.Equal(want, got) {
			f.t.Fatalf("%s: %s", s.sub, diff(want, got))
		}
	}
}

// TestFailedJobsGoOn: jobs fail at any moment while others write, and go on from the last checkpoint that holds them; views,
// append-only sinks, a sink into a table and subscriptions miss nothing and get nothing twice.
func TestFailedJobsGoOn(t *testing.T) {
	f := newFailing(t)
	for round := range rounds(6, 60) {
		f.during(func() {
			for range 1 + f.rng.IntN(4) {
				time.Sleep(time.Duration(f.rng.IntN(700)) * time.Millisecond) // the moment of the failure
				if round%3 == 2 {
					exec(t, f.n.Conn(), "RECOVER")
					continue
				}
				f.fail()
			}
		})
		f.check()
	}
}

// TestJobsDownOverCheckpoints: jobs that stay down while checkpoints commit without them, and while the server is started again,
// get all that they have missed.
func TestJobsDownOverCheckpoints(t *testing.T) {
	f := newFailing(t)
	for round := range rounds(3, 20) {
		f.during(func() {
			names := [][]string{{"journal_files", "by_v"}, {"journal", "item_sub"}, {"tens", "joined", "journal_into", "item"}}[round%3]
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(20 * time.Millisecond) { // shorter than a restart's pause
				for _, name := range names {
					f.n.FailJob(name)
				}
			}
			if round%2 == 0 {
				f.n.Stop()
				f.n.Start()
			}
		})
		f.check()
	}
}
