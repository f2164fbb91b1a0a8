package engine

import (
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// A subscription's job keeps the changes of its relation in a changeLog, for as long as the subscription says. One actor
// writes it; any number of cursors read what is committed of it (subscription_cursor.go).
//
// An epoch's time, rw_timestamp, names it to clients: ms since 1970, different for any two epochs that changed the
// relation. The log's table has, beside the changes, an index of the epochs by their time and one record of what the log
// holds in all, each in a part of its own.
const (
	subscriptionIndex uint16 = 1 // time → epoch, changes, bytes
	subscriptionTotal uint16 = 2 // one record, logTotals
)

// subscription is the root operator of a subscription's job, and what its cursors look at.
type subscription struct {
	changeLog
	rel   *catalog.Relation
	key   []row.KeyCol // tells an update from a delete and an insert; nil: nothing does, none: there is one row at most
	cons  *stream.Consolidator
	pass  []*delta.Chunk
	dirty []loggedEpoch // since the last Flush

	mu     sync.Mutex
	totals logTotals
	epoch  uint64 // the last one seen
	now    int64  // its time, ms since 1970
}

// logTotals is what a subscription's log holds.
type logTotals struct {
	// Everything that changed after the floor is in the log, except for what is kept no longer.
	floorEpoch uint64
	floor      int64
	last       int64 // time of the last epoch given one
	epochs     int64
	rows       int64
	bytes      int64
}

// loggedEpoch is an epoch about to be written.
type loggedEpoch struct {
	epoch  uint64
	time   int64
	chunks []*delta.Chunk
}

// indexed is an epoch in the index.
type indexed struct {
	time        int64
	epoch       uint64
	rows, bytes int64
}

// subscriptionRoot makes the root operator of a subscription's job.
func (e *Engine) subscriptionRoot(rel *catalog.Relation) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	return func(n *plan.Sink, env *stream.Env) (stream.Operator, error) {
		s := &subscription{rel: rel,
			changeLog: changeLog{e: e, table: env.Table(n.State).Table, types: plan.Types(n.Input)}}
		if cols, ok := env.UniqueKey(n.Input); ok {
			s.key = append([]row.KeyCol{}, row.Cols(cols...)...)
		}
		if !env.AppendOnly(n.Input) {
			s.cons = stream.NewConsolidator(s.key)
		}
		now := millis(e.clock(time.Now()))
		s.totals = logTotals{floorEpoch: uint64(env.StartEpoch), floor: now, last: now}
		s.epoch, s.now = uint64(env.StartEpoch), now
		if env.Table(n.State).Store != nil {
			if err := s.restore(); err != nil {
				return nil, err
			}
		}
		e.mu.Lock()
		e.subscriptions[rel.ID] = s
		e.mu.Unlock()
		return s, nil
	}
}

// forgetSubscription takes the log of a job that has ended from its cursors.
func (e *Engine) forgetSubscription(id catalog.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.subscriptions, id)
}

// millis turns a barrier's time into ms since 1970.
func millis(now int64) int64 { return (now + pgEpochMicros) / 1000 }

// OnDelta implements stream.Operator.
func (s *subscription) OnDelta(_ int, c *delta.Chunk, _ stream.Emit) error {
	if s.cons == nil {
		s.pass = append(s.pass, c)
	} else {
		s.cons.Add(c)
	}
	return nil
}

// OnBarrier implements stream.Operator.
func (s *subscription) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	chunks := s.pass
	s.pass = nil
	if s.cons != nil {
		var err error
		if chunks, err = netChanges(s.cons, s.types); err != nil {
			return err
		}
	}
	rows := 0
	for _, c := range chunks {
		rows += c.Len()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch, s.now = uint64(b.Epoch), millis(b.Now)
	if rows > 0 {
		s.totals.last = max(s.now, s.totals.last+1)
		s.dirty = append(s.dirty, loggedEpoch{s.epoch, s.totals.last, chunks})
	}
	return nil
}

// Flush implements stream.Operator.
func (s *subscription) Flush(d *state.Delta) {
	s.mu.Lock()
	t, now := s.totals, s.now
	s.mu.Unlock()
	wrote := int64(0)
	for _, l := range s.dirty {
		x := indexed{time: l.time, epoch: l.epoch}
		for _, c := range l.chunks {
			x.rows += int64(c.Len())
		}
		x.bytes = s.put(d, l.epoch, l.chunks)
		d.Put(s.table, subscriptionIndex, key.AppendUint64(nil, uint64(x.time)), x.append(nil))
		t.epochs, t.rows, t.bytes = t.epochs+1, t.rows+x.rows, t.bytes+x.bytes
		wrote += x.rows
	}
	s.dirty = nil
	// Readers learn what goes before it goes: what they then find missing was too old.
	t = s.expire(d, t, now, max(cleanRows, 2*wrote))
	s.mu.Lock()
	t.last = s.totals.last
	s.totals = t
	s.mu.Unlock()
	d.Put(s.table, subscriptionTotal, nil, t.append(nil))
}

// expire deletes epochs that are older than the retention, or more than the log may hold; after budget rows the others
// go another time. An error leaves them to that, too.
func (s *subscription) expire(d *state.Delta, t logTotals, now int64, budget int64) logTotals {
	_ = s.index(t.floor+1, func(x indexed) bool {
		if budget <= 0 || x.time > now-s.rel.Retention && t.bytes <= s.rel.RetentionBytes {
			return false
		}
		var k []byte
		for seq := range uint64(x.rows) {
			k = appendLogKey(k[:0], x.epoch, seq)
			d.Delete(s.table, s.vnode, k)
		}
		d.Delete(s.table, subscriptionIndex, key.AppendUint64(nil, uint64(x.time)))
		t.floor, t.floorEpoch = x.time, x.epoch
		t.epochs, t.rows, t.bytes = t.epochs-1, t.rows-x.rows, t.bytes-x.bytes
		budget -= x.rows
		return true
	})
	return t
}

// index calls f for the epochs that the last checkpoint has, from a time on.
func (s *subscription) index(from int64, f func(indexed) bool) error {
	lo := key.AppendUint64(key.AppendPrefix(nil, s.table, subscriptionIndex), uint64(from))
	var bad error
	err := s.scan(lo, key.VNodeRange(s.table, subscriptionIndex).Hi, func(full, v []byte) bool {
		var x indexed
		if x, bad = decodeIndexed(full, v); bad != nil {
			return false
		}
		return f(x)
	})
	if err == nil {
		err = bad
	}
	return err
}

// append encodes the value of an index record.
func (x indexed) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, x.epoch)
	dst = binary.AppendUvarint(dst, uint64(x.rows))
	return binary.AppendUvarint(dst, uint64(x.bytes))
}

func decodeIndexed(full, v []byte) (x indexed, err error) {
	_, _, k, err := key.Split(full)
	if err != nil {
		return x, err
	}
	if len(k) != 8 {
		return x, key.ErrCorrupt
	}
	n, err := uvarints(v, 3)
	if err != nil {
		return x, err
	}
	return indexed{int64(binary.BigEndian.Uint64(k)), n[0], int64(n[1]), int64(n[2])}, nil
}

// uvarints decodes exactly n numbers.
func uvarints(b []byte, n int) ([]uint64, error) {
	out := make([]uint64, n)
	for i := range out {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, key.ErrCorrupt
		}
		out[i], b = v, b[k:]
	}
	if len(b) > 0 {
		return nil, key.ErrCorrupt
	}
	return out, nil
}

// append encodes the record of what the log holds.
func (t logTotals) append(dst []byte) []byte {
	for _, v := range []uint64{t.floorEpoch, uint64(t.floor), uint64(t.last), uint64(t.epochs), uint64(t.rows), uint64(t.bytes)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

// restore takes up what the checkpoint has.
func (s *subscription) restore() error {
	r := key.VNodeRange(s.table, subscriptionTotal)
	var bad error
	err := s.scan(r.Lo, r.Hi, func(_, v []byte) bool {
		var n []uint64
		if n, bad = uvarints(v, 6); bad == nil {
			s.totals = logTotals{n[0], int64(n[1]), int64(n[2]), int64(n[3]), int64(n[4]), int64(n[5])}
		}
		return false
	})
	if err == nil {
		err = bad
	}
	return err
}

// Stats implements stream.Operator: the log is on disk.
func (s *subscription) Stats() state.Stats { return state.Stats{} }

// SubscriptionStatus is what SQL shows of a subscription's log.
type SubscriptionStatus struct {
	ID                  catalog.ID
	Epochs, Rows, Bytes int64
	// Oldest and Newest are the times of the first and the last epoch kept, ms since 1970; 0: none is.
	Oldest, Newest int64
	// Floor is from when on the log is complete, ms since 1970.
	Floor int64
}

// Subscriptions reports on the log of every subscription; one that cannot be read is left out.
func (e *Engine) Subscriptions() []SubscriptionStatus {
	e.mu.Lock()
	subs := slices.Collect(maps.Values(e.subscriptions))
	e.mu.Unlock()
	var out []SubscriptionStatus
	for _, s := range subs {
		st, err := s.status()
		if err != nil {
			e.log.Warn("read the log of a subscription", "subscription", s.rel.Name, "err", err)
			continue
		}
		out = append(out, st)
	}
	return out
}

func (s *subscription) status() (SubscriptionStatus, error) {
	s.mu.Lock()
	t := s.totals
	s.mu.Unlock()
	st := SubscriptionStatus{ID: s.rel.ID, Epochs: t.epochs, Rows: t.rows, Bytes: t.bytes, Floor: t.floor}
	err := s.index(t.floor+1, func(x indexed) bool {
		st.Oldest = x.time
		return false
	})
	if err == nil && st.Oldest > 0 {
		st.Newest, err = s.newest(t.last)
	}
	return st, err
}

// newest finds the time of the last epoch in the log, which is not later than last. Most often it is that; else cursors
// have drawn times since, and it is looked for in steps that double.
func (s *subscription) newest(last int64) (at int64, err error) {
	for back := int64(0); at == 0; back = 2*back + 1 {
		err = s.index(max(last-back, 0), func(x indexed) bool { at = x.time; return true })
		if err != nil || back > last {
			break
		}
	}
	return at, err
}
