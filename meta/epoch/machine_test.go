package epoch

import (
	"math/rand"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/catalog"
)

// TestRandomRuns drives the machine with random facts and checks its invariants.
func TestRandomRuns(t *testing.T) {
	for seed := int64(1); seed <= 200; seed++ {
		rnd := rand.New(rand.NewSource(seed))
		now := time.UnixMilli(1_000_000)
		m := New(Config{Interval: 10 * time.Millisecond, CheckpointInterval: 50 * time.Millisecond, MaxInFlight: 3, MaxOnDemand: 6}, 0)
		type pending struct {
			job   catalog.ID
			epoch uint64
		}
		actors := map[catalog.ID]int{}
		queue := map[catalog.ID][][]uint64{} // per job and actor: barriers not yet acknowledged
		completed := map[catalog.ID]uint64{}
		var last, committing uint64
		var at map[catalog.ID]struct{}
		apply := func(d Decisions) {
			for _, c := range d.Completed {
				if c.Epoch <= completed[c.Job] {
					t.Fatalf("seed %d: job %d completed %d after %d", seed, c.Job, c.Epoch, completed[c.Job])
				}
				completed[c.Job] = c.Epoch
			}
			for _, b := range d.Issue {
				if b.Epoch <= last {
					t.Fatalf("seed %d: epoch %d issued after %d", seed, b.Epoch, last)
				}
				last = b.Epoch
				if b.Checkpoint {
					if committing != 0 {
						t.Fatalf("seed %d: checkpoint %d while %d is under way", seed, b.Epoch, committing)
					}
					committing = b.Epoch
					at = map[catalog.ID]struct{}{}
					for id := range actors {
						at[id] = struct{}{}
					}
				}
				for id, n := range actors {
					for a := range n {
						queue[id][a] = append(queue[id][a], b.Epoch)
					}
				}
			}
			if d.Commit != 0 {
				if d.Commit != committing {
					t.Fatalf("seed %d: commit %d, checkpoint is %d", seed, d.Commit, committing)
				}
				for id := range at {
					if _, live := actors[id]; live && completed[id] < d.Commit {
						t.Fatalf("seed %d: commit %d but job %d is at %d", seed, d.Commit, id, completed[id])
					}
				}
			}
		}
		commitSeen := 0
		var mustCommit bool
		for range 3000 {
			now = now.Add(time.Duration(rnd.Intn(4)) * time.Millisecond)
			var d Decisions
			had, asked := len(m.issued), m.demand
			switch op := rnd.Intn(20); {
			case op == 0 && len(actors) < 4:
				id := catalog.ID(100 + rnd.Intn(1000))
				if _, ok := actors[id]; ok {
					continue
				}
				n := 1 + rnd.Intn(3)
				actors[id], completed[id] = n, m.Last()
				queue[id] = make([][]uint64, n)
				m.AddJob(id, n, rnd.Intn(2) == 0, m.Last())
			case op == 1 && len(actors) > 0 && rnd.Intn(5) == 0:
				for id := range actors {
					delete(actors, id)
					delete(queue, id)
					d = m.RemoveJob(id, now)
					break
				}
			case op < 5:
				d = m.Activity(rnd.Intn(2000), rnd.Intn(2) == 0, now)
			case op < 8:
				d, asked = m.Demand(now), true
			case op < 10:
				d = m.Tick(now)
			case op == 10 && mustCommit:
				committing, mustCommit = 0, false
				commitSeen++
				d = m.Committed(now)
			default:
				for id, qs := range queue {
					a := rnd.Intn(len(qs))
					if len(qs[a]) > 0 {
						e := qs[a][0]
						qs[a] = qs[a][1:]
						d = m.Ack(id, e, now)
					}
					break
				}
			}
			if d.Commit != 0 {
				mustCommit = true
			}
			// A commit decided together with its own barrier concerns a machine without jobs.
			if d.Commit != 0 && committing == 0 {
				committing = d.Commit
				at = nil
				d.Issue = nil
			}
			apply(d)
			if n := len(m.issued); n > 6 || n > 3 && n > had && !asked {
				t.Fatalf("seed %d: %d epochs in flight", seed, n)
			}
		}
		if commitSeen == 0 && len(actors) > 0 && seed > 3 {
			t.Logf("seed %d: no commit", seed)
		}
	}
}

// TestDemandIsImmediate: with nothing in flight a demand issues a barrier at once, the next joins.
func TestDemandIsImmediate(t *testing.T) {
	now := time.UnixMilli(5000)
	m := New(Config{}, 10)
	m.AddJob(1, 1, true, 10)
	d := m.Demand(now)
	if len(d.Issue) != 1 || d.Issue[0].Epoch <= 10 {
		t.Fatalf("first demand: %+v", d)
	}
	if d := m.Demand(now); len(d.Issue) != 0 {
		t.Fatalf("second demand did not wait: %+v", d)
	}
	d = m.Ack(1, d.Issue[0].Epoch, now)
	if len(d.Completed) != 1 || len(d.Issue) != 1 {
		t.Fatalf("after completion: %+v", d)
	}
}

// TestIdleIssuesNothing: without input there are no barriers.
func TestIdleIssuesNothing(t *testing.T) {
	now := time.UnixMilli(5000)
	m := New(Config{}, 10)
	m.AddJob(1, 1, true, 10)
	for range 100 {
		now = now.Add(time.Second)
		if d := m.Tick(now); len(d.Issue) != 0 || d.Commit != 0 {
			t.Fatalf("idle: %+v", d)
		}
	}
}

// TestTransactionsNeedNotGather: an epoch of many rows waits for company, unless they are transactions of another database; of
// very many both wait, and neither ends while a job is still busy with the one before.
func TestTransactionsNeedNotGather(t *testing.T) {
	for _, c := range []struct {
		name string
		rows int
		txn  bool
		busy bool
		want time.Duration
	}{
		{"few rows", 500, false, false, 5 * time.Millisecond},
		{"rows", 5000, false, false, 100 * time.Millisecond},
		{"transactions", 5000, true, false, 5 * time.Millisecond},
		{"a busy job", 5000, true, true, 100 * time.Millisecond},
		{"a backlog", 50000, true, false, 100 * time.Millisecond},
	} {
		now := time.UnixMilli(5000)
		m := New(Config{CheckpointInterval: time.Hour}, 10)
		m.AddJob(1, 1, false, 10)
		first := m.Activity(1, true, now)
		if len(first.Issue) != 1 {
			t.Fatalf("%s: the first epoch: %+v", c.name, first)
		}
		if !c.busy {
			m.Ack(1, first.Issue[0].Epoch, now)
		}
		for began := now; ; now = now.Add(time.Millisecond) {
			if d := m.Activity(c.rows, c.txn, now); len(d.Issue) == 1 {
				if took := now.Sub(began); took != c.want {
					t.Errorf("%s: the epoch ends after %v, and should after %v", c.name, took, c.want)
				}
				break
			}
			c.rows = 0
		}
	}
}
