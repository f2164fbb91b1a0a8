package catalog

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// advisoryLocks are the exclusive advisory locks of sessions, which migration tools take. A session's locks end
// with it: a holder that is not connected any more holds nothing. Nobody waits: a lock that is taken is refused
// with 55P03.
type advisoryLocks struct {
	mu   sync.Mutex
	held map[lockKey]lockHold
}

// lockKey is pg_advisory_lock(bigint), or with pair set (integer, integer).
type lockKey struct {
	a, b int64
	pair bool
}

type lockHold struct {
	pid   int32
	times int
}

func (c *call) lockKey() lockKey {
	if len(c.args) == 2 {
		return lockKey{c.oid(0), c.oid(1), true}
	}
	return lockKey{a: c.oid(0)}
}

func (l *advisoryLocks) try(k lockKey, pid int32, alive func(pid int32) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, taken := l.held[k]
	if taken && h.pid != pid && alive(h.pid) {
		return false
	}
	if l.held == nil {
		l.held = map[lockKey]lockHold{}
	}
	if h.pid != pid {
		h = lockHold{pid: pid}
	}
	h.times++
	l.held[k] = h
	return true
}

// each calls f for every lock, in the order of keys.
func (l *advisoryLocks) each(f func(k lockKey, pid int32)) {
	l.mu.Lock()
	held := maps.Clone(l.held)
	l.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(held), func(x, y lockKey) int { return cmp.Or(cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b)) }) {
		f(k, held[k].pid)
	}
}

func (l *advisoryLocks) unlock(k lockKey, pid int32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	h, taken := l.held[k]
	if !taken || h.pid != pid {
		return false
	}
	if h.times--; h.times > 0 {
		l.held[k] = h
	} else {
		delete(l.held, k)
	}
	return true
}

func (l *advisoryLocks) unlockAll(pid int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, h := range l.held {
		if h.pid == pid {
			delete(l.held, k)
		}
	}
}

// alive reports whether a session is connected.
func (f *facts) alive(pid int32) bool {
	for _, a := range f.activity() {
		if int32(a.PID) == pid {
			return true
		}
	}
	return false
}

func tryAdvisoryLock(c *call) (sqltypes.Datum, error) {
	return c.y.locks.try(c.lockKey(), c.session.PID(), c.alive), nil
}

func advisoryLock(c *call) (sqltypes.Datum, error) {
	if !c.y.locks.try(c.lockKey(), c.session.PID(), c.alive) {
		return nil, sqlerr.New(sqlerr.LockNotAvailable, "advisory lock is held by another session").
			WithHint("Millrace does not wait for advisory locks; try again.")
	}
	return "", nil
}

func advisoryUnlock(c *call) (sqltypes.Datum, error) {
	return c.y.locks.unlock(c.lockKey(), c.session.PID()), nil
}

func advisoryUnlockAll(c *call) (sqltypes.Datum, error) {
	c.y.locks.unlockAll(c.session.PID())
	return "", nil
}
