package shard

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// compactions shares a number of compaction slots among shards.
//
// Lock order: Pebble calls TrySchedule with its own lock held, so our lock is the inner one and is
// never held while we call a database.
type compactions struct {
	mu struct {
		sync.Mutex
		limit   int
		running int
		members []*grants
		next    int // member that is offered the next free slot
	}
	idle *sync.Cond // a member's calls went down to zero
}

// grants is one shard's part: the pebble.CompactionScheduler of its database and the handle of its
// running compactions. It is gated: until open, nothing is granted, so that opening a database with
// work to do does not wait for that work.
type grants struct {
	all *compactions

	// Guarded by all.mu.
	db     pebble.DBForCompaction
	opened bool
	gone   bool
	calls  int // of ours into db that are under way
}

func (c *compactions) register() *grants { return &grants{all: c} }

// Register implements pebble.CompactionScheduler.
func (g *grants) Register(_ int, db pebble.DBForCompaction) {
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.db = db
	g.all.mu.members = append(g.all.mu.members, g)
}

// Unregister implements pebble.CompactionScheduler: when it returns we call the database no more.
func (g *grants) Unregister() {
	c := g.all
	c.mu.Lock()
	defer c.mu.Unlock()
	g.gone = true
	for g.calls > 0 {
		c.idle.Wait()
	}
	for i, m := range c.mu.members {
		if m == g {
			c.mu.members = append(c.mu.members[:i:i], c.mu.members[i+1:]...)
			break
		}
	}
}

// TrySchedule implements pebble.CompactionScheduler.
func (g *grants) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c := g.all
	c.mu.Lock()
	defer c.mu.Unlock()
	if !g.opened || g.gone || c.mu.running >= c.mu.limit {
		return false, nil // offer comes back to it when a slot is free
	}
	c.mu.running++
	return true, g
}

// UpdateGetAllowedWithoutPermission implements pebble.CompactionScheduler. The limit is ours alone.
func (g *grants) UpdateGetAllowedWithoutPermission() {}

// Started implements pebble.CompactionGrantHandle.
func (g *grants) Started() {}

// MeasureCPU implements pebble.CompactionGrantHandle.
func (g *grants) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats implements pebble.CompactionGrantHandle.
func (g *grants) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done implements pebble.CompactionGrantHandle: the slot goes to whoever waits.
func (g *grants) Done() {
	g.all.mu.Lock()
	g.all.mu.running--
	g.all.mu.Unlock()
	g.all.offer()
}

// open lifts the gate.
func (g *grants) open() {
	g.all.mu.Lock()
	g.opened = true
	g.all.mu.Unlock()
	g.all.offer()
}

// offer gives free slots to the shards that wait, in turn, until none wants one.
func (c *compactions) offer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for refused := 0; refused < len(c.mu.members) && c.mu.running < c.mu.limit; {
		c.mu.next = (c.mu.next + 1) % len(c.mu.members)
		g := c.mu.members[c.mu.next]
		if !g.opened || g.gone || !c.offerLocked(g) {
			refused++
			continue
		}
		refused = 0
	}
}

// offerLocked reserves a slot and lets go of the lock while it asks g's database to take it.
func (c *compactions) offerLocked(g *grants) (taken bool) {
	c.mu.running++
	g.calls++
	c.mu.Unlock()
	waiting, _ := g.db.GetWaitingCompaction()
	taken = waiting && g.db.Schedule(g)
	c.mu.Lock()
	if !taken {
		c.mu.running--
	}
	if g.calls--; g.calls == 0 {
		c.idle.Broadcast()
	}
	return taken
}
