package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/internal/e2e/harness"
)

// bigRows is the size of the table that views are created on.
const bigRows = 150_000

var bigViews = []view{
	{"big_groups", "SELECT k, count(*) AS n, sum(v) AS total, max(v) AS high FROM big GROUP BY k"},
	{"big_rows", "SELECT id, v * 2 AS w FROM big WHERE v % 3 = 0"},
	{"big_joined", "SELECT d.name, count(*) AS n, min(b.id) AS low FROM big b JOIN dim d ON b.k % 10 = d.id GROUP BY d.name"},
	{"big_top", "SELECT k, id FROM (SELECT k, id, row_number() OVER (PARTITION BY k ORDER BY v DESC, id) AS r FROM big) x WHERE r <= 2"},
}

// slowViews take seconds to create, so that parts of them are saved on the way.
var slowViews = []view{
	{"slow_rows", "SELECT b.id, m.n, b.v FROM big b JOIN many m ON b.k % 10 = m.d"},
	{"slow_groups", "SELECT b.id, count(*) AS n, sum(m.n + b.v) AS total FROM big b JOIN many m ON b.k % 10 = m.d GROUP BY b.id"},
	{"slow_distinct", "SELECT DISTINCT b.id % 50000 AS r, m.n FROM big b JOIN many m ON b.k % 10 = m.d WHERE b.k % 97 < 5"},
}

func makeBig(t *testing.T, c *pgx.Conn) {
	t.Helper()
	exec(t, c, "CREATE TABLE big (id bigint PRIMARY KEY, k int, v bigint); CREATE TABLE dim (id int PRIMARY KEY, name text)")
	exec(t, c, "INSERT INTO dim SELECT i, 'name ' || i FROM generate_series(0, 9) AS g(i)")
	exec(t, c, "CREATE TABLE many (d int, n int); INSERT INTO many SELECT i % 10, i FROM generate_series(0, 199) AS g(i)")
	exec(t, c, fmt.Sprintf("INSERT INTO big SELECT i, (i %% 1000)::int, i * 7 %% 1009 FROM generate_series(1, %d) AS g(i)", bigRows))
}

// load writes to big until stopped: new rows, changed rows and, so that leftovers of an earlier attempt would show,
// deleted groups.
type load struct {
	stop    atomic.Bool
	wg      sync.WaitGroup
	n       atomic.Int64
	longest atomic.Int64 // ns
	err     atomic.Pointer[error]
}

func startLoad(url string, seed uint64) *load {
	l := &load{}
	for i := range 2 {
		l.wg.Add(1)
		go func() {
			defer l.wg.Done()
			if err := l.run(url, rand.New(rand.NewPCG(seed, uint64(i))), int64(i)); err != nil && !l.stop.Load() {
				l.err.Store(&err)
			}
		}()
	}
	return l
}

func (l *load) run(url string, rng *rand.Rand, who int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	next := time.Now().UnixNano()*2 + who
	for !l.stop.Load() {
		began := time.Now()
		switch id := 1 + rng.Int64N(bigRows); rng.IntN(8) {
		case 0:
			_, err = c.Exec(ctx, "DELETE FROM big WHERE id = $1", id)
		case 1, 2:
			_, err = c.Exec(ctx, "UPDATE big SET v = v + 1, k = $2 WHERE id = $1", id, rng.IntN(1000))
		default:
			next += 2
			_, err = c.Exec(ctx, "INSERT INTO big VALUES ($1, $2, $3)", next, rng.IntN(1000), rng.IntN(2000))
		}
		if err != nil && code(err) != "40001" {
			return err
		}
		for took := int64(time.Since(began)); ; {
			old := l.longest.Load()
			if took <= old || l.longest.CompareAndSwap(old, took) {
				break
			}
		}
		l.n.Add(1)
	}
	return nil
}

// end stops the writers and returns how many statements they ran and the longest.
func (l *load) end(t *testing.T) (int64, time.Duration) {
	t.Helper()
	l.stop.Store(true)
	l.wg.Wait()
	if p := l.err.Load(); p != nil {
		t.Errorf("write under load: %v", *p)
	}
	return l.n.Load(), time.Duration(l.longest.Load())
}

// TestCreateUnderLoad: views are created on a large table while it is written to; the writers go on, and the views are exact.
func TestCreateUnderLoad(t *testing.T) {
	s := harness.New(t)
	c := s.Conn()
	makeBig(t, c)
	idle := startLoad(s.URL(), 1)
	time.Sleep(500 * time.Millisecond) // what writing costs without a creation
	_, calm := idle.end(t)
	for i, v := range bigViews {
		l := startLoad(s.URL(), uint64(i)+5)
		began := time.Now()
		err := try(c, v.create())
		took := time.Since(began)
		n, longest := l.end(t)
		if err != nil {
			t.Errorf("%s: %v", v.create(), err)
			continue
		}
		t.Logf("%s: created in %v; meanwhile %d statements, the longest %v (%v without a creation)", v.name, took, n, longest, calm)
		if longest > 2*time.Second {
			t.Errorf("%s: a writer waited %v while the view was created", v.name, longest)
		}
		checkViews(t, c, "after its creation", bigViews[i:i+1])
	}
	l := startLoad(s.URL(), 77)
	time.Sleep(300 * time.Millisecond)
	l.end(t)
	checkViews(t, c, "after more changes", bigViews)
	s.Restart()
	checkViews(t, s.Conn(), "after a kill", bigViews)
}

// TestKillDuringCreation: the server is killed while a view is being created, under load. After the restart the view comes to be by
// itself, or is not there at all, and is exact in the end.
func TestKillDuringCreation(t *testing.T) {
	rng := newRand(t, 21)
	s := harness.New(t)
	c := s.Conn()
	makeBig(t, c)
	resumed := 0
	slow, fast := slowViews[1:2], bigViews[2:]
	if *long {
		slow, fast = slowViews, bigViews
	}
	views := append(append([]view(nil), slow...), fast...)
	for i, v := range views {
		l := startLoad(s.URL(), uint64(i)+50)
		creator := s.Conn()
		created := make(chan error, 1)
		span := 350
		if i < len(slow) {
			span = 3500
		}
		go func() { created <- try(creator, v.create()) }()
		for range 1 + rng.IntN(3) {
			time.Sleep(time.Duration(40+rng.IntN(span)) * time.Millisecond) // the moment of the kill
			s.Kill()
			l.stop.Store(true)
			l.wg.Wait()
			s.Start()
			c = s.Conn()
			// What an earlier attempt saw and is gone now must not come back.
			exec(t, c, fmt.Sprintf("DELETE FROM big WHERE k %% 97 = %d; DELETE FROM big WHERE id %% 89 = %d", rng.IntN(97), rng.IntN(89)))
			l = startLoad(s.URL(), rng.Uint64())
		}
		err := <-created
		time.Sleep(200 * time.Millisecond) // some load after the last restart
		l.end(t)
		if err != nil && !exists(t, c, v.name) {
			exec(t, c, v.create())
		} else if err != nil {
			resumed++
		}
		readable(t, c, v.name)
		checkViews(t, c, "after its creation was interrupted", views[i:i+1])
		if t.Failed() {
			return
		}
	}
	s.Restart()
	checkViews(t, s.Conn(), "at the end", views)
	t.Logf("%d of %d creations went on by themselves", resumed, len(views))
}

// exists reports whether a relation is known, readable or not.
func exists(t *testing.T, c *pgx.Conn, name string) bool {
	t.Helper()
	_, err := query(c, "SELECT * FROM "+name+" LIMIT 0")
	return code(err) != "42P01"
}

// readable waits until a view that is being created can be read.
func readable(t *testing.T, c *pgx.Conn, name string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, err := query(c, "SELECT * FROM "+name+" LIMIT 1")
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("view %s did not come to be: %v\n%v", name, err, rows(t, c, "SHOW JOBS"))
		}
		time.Sleep(50 * time.Millisecond) // creation goes on in the background
	}
}
