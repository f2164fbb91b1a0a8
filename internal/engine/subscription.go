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
// Clients see an epoch's number as rw_timestamp, since it is the time at which it was issued, ms since 1970. The log's table
// has, beside the changes, an index of the epochs and one record of what the log holds in all, each in a part of its own.
const (
	subscriptionIndex uint16 = 1 // epoch → changes, bytes
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
	hidden bool   // it has yet to catch up: cursors cannot read it
	// What changed between these two epochs is in the log as one epoch, the second: the job was behind. A cursor that stands in
	// between, because it began there, cannot go on.
	folded span
}

// logTotals is what a subscription's log holds.
type logTotals struct {
	floor  uint64 // epoch: all that has changed after it is in the log
	last   uint64 // epoch: the last one with changes
	epochs int64
	rows   int64
	bytes  int64
}

// loggedEpoch is an epoch about to be written.
type loggedEpoch struct {
	epoch  uint64
	chunks []*delta.Chunk
}

// indexed is an epoch in the index.
type indexed struct {
	epoch       uint64
	rows, bytes int64
}

// subscriptionRoot makes the root operator of a subscription's job.
func (e *Engine) subscriptionRoot(rel *catalog.Relation, from origin) func(*plan.Sink, *stream.Env) (stream.Operator, error) {
	return func(n *plan.Sink, env *stream.Env) (stream.Operator, error) {
		s := &subscription{rel: rel, hidden: from.behind,
			changeLog: changeLog{e: e, table: env.Table(n.State).Table, types: plan.Types(n.Input)}}
		if cols, ok := env.UniqueKey(n.Input); ok {
			s.key = append([]row.KeyCol{}, row.Cols(cols...)...)
		}
		if !env.AppendOnly(n.Input) {
			s.cons = stream.NewConsolidator(s.key)
		}
		s.epoch = uint64(env.StartEpoch)
		if from.missed != nil {
			s.folded = span{s.epoch, uint64(from.missed.Barrier.Epoch)}
		}
		s.totals = logTotals{floor: s.epoch, last: s.epoch}
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

// showSubscription lets cursors read the log of a subscription that has caught up.
func (e *Engine) showSubscription(id catalog.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if s := e.subscriptions[id]; s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.hidden = false
	}
}

// keptFrom is the first epoch that the subscription still keeps by its retention.
func keptFrom(rel *catalog.Relation) uint64 {
	return uint64(max(time.Now().UnixMilli()-rel.Retention, 0))
}

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
	s.epoch = uint64(b.Epoch)
	if rows > 0 {
		s.totals.last = s.epoch
		s.dirty = append(s.dirty, loggedEpoch{s.epoch, chunks})
	}
	return nil
}

// Flush implements stream.Operator.
func (s *subscription) Flush(d *state.Delta) {
	s.mu.Lock()
	t := s.totals
	s.mu.Unlock()
	wrote := int64(0)
	for _, l := range s.dirty {
		x := indexed{epoch: l.epoch}
		for _, c := range l.chunks {
			x.rows += int64(c.Len())
		}
		x.bytes = s.put(d, l.epoch, l.chunks)
		d.Put(s.table, subscriptionIndex, key.AppendUint64(nil, x.epoch), x.append(nil))
		t.epochs, t.rows, t.bytes = t.epochs+1, t.rows+x.rows, t.bytes+x.bytes
		wrote += x.rows
	}
	s.dirty = nil
	// Readers learn what goes before it goes: what they then find missing was too old.
	t = s.expire(d, t, max(cleanRows, 2*wrote))
	s.mu.Lock()
	s.totals = t
	s.mu.Unlock()
	d.Put(s.table, subscriptionTotal, nil, t.append(nil))
}

// expire deletes epochs that are older than the retention, or more than the log may hold; after budget rows the others
// go another time. An error leaves them to that, too.
func (s *subscription) expire(d *state.Delta, t logTotals, budget int64) logTotals {
	kept := keptFrom(s.rel)
	_ = s.index(t.floor+1, func(x indexed) bool {
		if budget <= 0 || x.epoch >= kept && t.bytes <= s.rel.RetentionBytes {
			return false
		}
		var k []byte
		for seq := range uint64(x.rows) {
			k = appendLogKey(k[:0], x.epoch, seq)
			d.Delete(s.table, s.vnode, k)
		}
		d.Delete(s.table, subscriptionIndex, key.AppendUint64(nil, x.epoch))
		t.floor = x.epoch
		t.epochs, t.rows, t.bytes = t.epochs-1, t.rows-x.rows, t.bytes-x.bytes
		budget -= x.rows
		return true
	})
	return t
}

// index calls f for the epochs that the last checkpoint has, from one on.
func (s *subscription) index(from uint64, f func(indexed) bool) error {
	lo := key.AppendUint64(key.AppendPrefix(nil, s.table, subscriptionIndex), from)
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
	n, err := uvarints(v, 2)
	if err != nil {
		return x, err
	}
	return indexed{binary.BigEndian.Uint64(k), int64(n[0]), int64(n[1])}, nil
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
	for _, v := range []uint64{t.floor, t.last, uint64(t.epochs), uint64(t.rows), uint64(t.bytes)} {
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
		if n, bad = uvarints(v, 5); bad == nil {
			s.totals = logTotals{n[0], n[1], int64(n[2]), int64(n[3]), int64(n[4])}
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
	// Oldest and Newest are the first and the last epoch kept; 0: none is.
	Oldest, Newest uint64
	// Floor is the epoch after which the log is complete.
	Floor uint64
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
	if t.epochs == 0 {
		return st, nil
	}
	st.Newest = t.last
	err := s.index(t.floor+1, func(x indexed) bool {
		st.Oldest = x.epoch
		return false
	})
	return st, err
}
