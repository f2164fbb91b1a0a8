package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/table"
)

// Feed gives one client the changes of a relation, or of a query, epoch by epoch, each as soon as it is committed: what a
// client has seen does not un-happen when the server dies. It reads the changelog of the relation, or of a job of its own
// (feed_query.go). It belongs to one goroutine, except for fail and police.
//
// The upstream never waits for it. At each commit it is looked at what was there to be read at the one before: if that is
// more than limit bytes, the feed ends with an error.
type Feed struct {
	e     *Engine
	reads []catalog.ID // relations whose end is its end
	types []sqltypes.Type
	subs  []*changelog.Sub
	held  []*changelog.Entry // by part: read and not yet committed
	limit int
	pid   uint32

	rows    batch.ChunkIter // what is left of a relation's snapshot; nil: nothing
	view    *table.View
	past    *subscription // where epochs up to at come from; nil: the changelog
	pastAt  uint64        // those up to here have been given out
	first   *firstRows    // of a query's job: not all there yet; nil: they have been given out
	at      uint64        // epochs up to here have been read
	told    atomic.Uint64 // epochs up to here have been given out whole
	marked  uint64        // and the reader was told so by a step without chunks
	whole   bool          // the snapshot has been given out whole
	peeked  *Batch
	waiting <-chan struct{} // closed when there may be more to read

	query *queryJob // nil: none

	mu     sync.Mutex
	broken error
	end    chan struct{} // closed when broken is set
}

// FollowOptions say what a Feed gives out.
type FollowOptions struct {
	// Snapshot: the rows that are there come first.
	Snapshot bool
	// AsOf, if not nil: the changes after that epoch, which a subscription must still keep, and no snapshot.
	AsOf *uint64
	// LimitBytes bounds the changes that wait for the client.
	LimitBytes int
	PID        uint32 // of the session, for those who look on
}

// Batch is a step of a Feed.
type Batch struct {
	// Epoch is that of Chunks. Without chunks, it is the epoch up to which everything has been given out.
	Epoch  uint64
	Chunks []*delta.Chunk
	// Snapshot: rows that were there; others of the same epoch may follow. Else these are the epoch's changes, all of them.
	Snapshot bool
}

func (e *Engine) newFeed(types []sqltypes.Type, reads []catalog.ID, opt FollowOptions) *Feed {
	return &Feed{e: e, types: types, reads: reads, limit: opt.LimitBytes, pid: opt.PID, whole: true, end: make(chan struct{})}
}

// Follow opens a feed of a stored relation.
func (e *Engine) Follow(ctx context.Context, rel *catalog.Relation, opt FollowOptions) (*Feed, error) {
	if err := e.WaitLogged(ctx); err != nil { // what was acknowledged before is not a change
		return nil, err
	}
	f := e.newFeed(rel.Types(), []catalog.ID{rel.ID}, opt)
	start, err := f.subscribe(rel)
	if err == nil {
		err = f.begin(ctx, rel, start, opt)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// subscribe puts the feed into the relation's changelog, and returns the epoch after which it finds all there.
func (f *Feed) subscribe(rel *catalog.Relation) (start uint64, err error) {
	e := f.e
	if !e.call(func(time.Time) {
		if _, err = e.inputs(e.cfg.Catalog.Snapshot(), &catalog.Relation{DependsOn: f.reads}); err != nil {
			return
		}
		for _, l := range e.jobs[rel.ID].logs {
			f.subs = append(f.subs, l.Subscribe())
		}
		start = e.machine.Last()
		e.addFeed(f)
	}) {
		return 0, errClosing
	}
	f.held = make([]*changelog.Entry, len(f.subs))
	return start, err
}

func (e *Engine) addFeed(f *Feed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.feeds[f] = struct{}{}
}

// begin sets the feed to where it begins.
func (f *Feed) begin(ctx context.Context, rel *catalog.Relation, start uint64, opt FollowOptions) error {
	switch {
	case opt.AsOf != nil && *opt.AsOf >= start:
		f.at, f.marked = *opt.AsOf, *opt.AsOf
		f.told.Store(*opt.AsOf)
	case opt.AsOf != nil:
		if f.past = f.e.oldestLog(rel.ID); f.past == nil {
			return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the changes of %s %q after epoch %d are no longer available", rel.Kind, rel.Name, *opt.AsOf).
				WithDetail("The oldest epoch available is %d.", start).
				WithHint("CREATE SUBSCRIPTION … FROM %s keeps changes for as long as it says.", rel.Name)
		}
		f.pastAt = *opt.AsOf
		f.told.Store(*opt.AsOf)
		if err := f.kept(); err != nil {
			return err
		}
		f.at = start
		return f.e.waitCommitted(ctx, start)
	case opt.Snapshot:
		v, at, err := f.e.committedView(ctx, rel.ID, start)
		if err != nil {
			return err
		}
		f.view, f.at, f.whole = v, at, false
		cols := make([]int, len(f.types))
		for i := range cols {
			cols[i] = i
		}
		f.rows, err = (&Reader{View: v, Rels: f.e.cfg.Catalog.Snapshot()}).Scan(ctx, rel.ID, cols, nil)
		return err
	default:
		f.at = start
		return f.e.waitCommitted(ctx, start)
	}
	return nil
}

// oldestLog finds the subscription of a relation that goes back furthest.
func (e *Engine) oldestLog(id catalog.ID) (oldest *subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	low := ^uint64(0)
	for _, s := range e.subscriptions {
		s.mu.Lock()
		if s.rel.DependsOn[0] == id && s.totals.floor < low {
			oldest, low = s, s.totals.floor
		}
		s.mu.Unlock()
	}
	return oldest
}

// kept reports that the subscription still has the changes after pastAt.
func (f *Feed) kept() error {
	f.past.mu.Lock()
	floor := f.past.totals.floor
	f.past.mu.Unlock()
	if f.pastAt >= floor {
		return nil
	}
	return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the changes after epoch %d are no longer available", f.pastAt).
		WithDetail("The oldest epoch that subscription %q keeps is %d.", f.past.rel.Name, floor)
}

// Types are those of the rows.
func (f *Feed) Types() []sqltypes.Type { return f.types }

// Close ends the feed and what runs for it.
func (f *Feed) Close() {
	f.e.mu.Lock()
	delete(f.e.feeds, f)
	f.e.mu.Unlock()
	f.closeView()
	for _, s := range f.subs {
		s.Close()
	}
	f.peeked, f.held, f.first = nil, nil, nil
	if f.query != nil {
		f.query.close()
	}
}

func (f *Feed) closeView() {
	if f.rows != nil {
		f.rows.Close()
	}
	if f.view != nil {
		f.view.Close()
	}
	f.rows, f.view = nil, nil
}

// fail ends the feed with an error, and lets go of what waits for it. Any goroutine.
func (f *Feed) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.broken = err
		close(f.end)
		for _, s := range f.subs {
			s.Close()
		}
	}
}

func (f *Feed) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// tooSlow is why a feed was ended whose client did not read.
type tooSlow struct{ limit int }

func (t *tooSlow) Error() string { return "the client is too slow" }

// police ends the feed if too much of what was committed by an epoch has not been read. Coordinator only.
func (f *Feed) police(epoch uint64) bool {
	n := 0
	for _, s := range f.subs {
		n += s.Unread(stream.Epoch(epoch))
	}
	if n <= f.limit {
		return false
	}
	f.fail(&tooSlow{f.limit})
	return true
}

// openFeeds lists the feeds there are.
func (e *Engine) openFeeds() []*Feed {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.feeds))
}

// failFeeds ends the feeds that read a relation, or whose job it describes, and the jobs that run for them. Coordinator only.
func (e *Engine) failFeeds(id catalog.ID, err error, stop func(*running)) {
	for _, f := range e.openFeeds() {
		if slices.Contains(f.reads, id) || f.query != nil && f.query.rel.ID == id {
			f.fail(err)
			e.stopQuery(f, stop)
		}
	}
}

// policeFeeds looks at all feeds when a checkpoint has been committed; before is the one before it. Coordinator only.
func (e *Engine) policeFeeds(before uint64) {
	for _, f := range e.openFeeds() {
		if f.police(before) {
			e.stopQuery(f, e.stopRunning)
		}
	}
}

// FeedStatus is what SQL shows of a feed.
type FeedStatus struct {
	PID     uint32
	Reads   []catalog.ID // a relation, or those that a query reads
	Query   bool
	Epoch   uint64 // up to here everything has been given out; 0: not the snapshot
	Waiting int    // bytes of changes
	Error   string // why it was cut off; the client has not asked yet
}

// Feeds reports on every feed.
func (e *Engine) Feeds() []FeedStatus {
	var out []FeedStatus
	for _, f := range e.openFeeds() {
		st := FeedStatus{PID: f.pid, Reads: f.reads, Query: f.query != nil, Epoch: f.told.Load()}
		for _, s := range f.subs {
			st.Waiting += s.Unread(stream.Epoch(^uint64(0)))
		}
		if err := f.failure(); err != nil {
			st.Error = err.Error()
		}
		out = append(out, st)
	}
	return out
}

// Ready reports whether Next would return at once.
func (f *Feed) Ready() bool {
	if f.peeked != nil {
		return true
	}
	b, ok, err := f.step(f.e.ctx)
	if ok {
		f.peeked = &b
	}
	return ok || err != nil
}

// Next returns the next step; it waits for one until ctx ends, and can be called again after that.
func (f *Feed) Next(ctx context.Context) (Batch, error) {
	for {
		if b := f.peeked; b != nil {
			f.peeked = nil
			return *b, nil
		}
		b, ok, err := f.step(ctx)
		if ok || err != nil {
			return b, err
		}
		select {
		case <-f.waiting:
		case <-f.end:
		case <-ctx.Done():
			return Batch{}, ctx.Err()
		case <-f.e.ctx.Done():
			return Batch{}, sqlerr.New(sqlerr.AdminShutdown, "terminating connection due to administrator command")
		}
	}
}

// step finds the next step without waiting for one; ok is false when there is none yet, and waiting says when to look again.
func (f *Feed) step(ctx context.Context) (b Batch, ok bool, err error) {
	if err := f.failure(); err != nil {
		return b, false, f.explain(err)
	}
	if f.view != nil {
		c, err := f.rows.Next(ctx)
		if err != nil {
			return b, false, err
		}
		if c != nil {
			return Batch{Epoch: f.at, Chunks: []*delta.Chunk{c}, Snapshot: true}, true, nil
		}
		f.closeView()
		f.whole = true
	}
	if f.past != nil {
		return f.history()
	}
	f.waiting = f.e.commits.changed() // first: a commit in between wakes for nothing
	committed := f.e.durable.Load()
	for f.first != nil || f.at < committed {
		b, ok, more, err := f.read(committed)
		if ok || err != nil {
			return b, ok, err
		}
		if more != nil {
			f.waiting = more
			return Batch{}, false, nil
		}
	}
	if f.whole && f.marked < f.at && f.at <= committed {
		f.told.Store(f.at)
		f.marked = f.at
		return Batch{Epoch: f.at}, true, nil
	}
	return Batch{}, false, nil
}

// history reads the next epoch from the subscription's log.
func (f *Feed) history() (b Batch, ok bool, err error) {
	if f.pastAt < f.at {
		epoch, err := f.past.firstFrom(f.pastAt+1, f.at)
		if err == nil && epoch != 0 {
			b = Batch{Epoch: epoch}
			_, err = f.past.readStored(epoch, func(c *delta.Chunk) error {
				b.Chunks = append(b.Chunks, c)
				return nil
			})
		}
		if err == nil { // what has gone meanwhile may be missing
			err = f.kept()
		}
		if err != nil {
			return Batch{}, false, err
		}
		if epoch != 0 {
			f.pastAt = epoch
			f.told.Store(epoch)
			return b, true, nil
		}
	}
	f.past, f.marked = nil, f.at
	f.told.Store(f.at)
	return Batch{Epoch: f.at}, true, nil
}

// read takes the next epoch from the changelog. With nothing there more says when to look again.
func (f *Feed) read(committed uint64) (b Batch, ok bool, more <-chan struct{}, err error) {
	for i, s := range f.subs {
		for f.held[i] == nil {
			x, more, err := s.TryNext()
			if err != nil {
				if broken := f.failure(); broken != nil {
					err = f.explain(broken)
				}
				return b, false, nil, err
			}
			if more != nil {
				return b, false, more, nil
			}
			s.Release(x.Barrier.Epoch)
			if f.first != nil && x.Barrier.Snapshot {
				if err := f.first.add(x); err != nil {
					return b, false, nil, err
				}
				continue
			}
			if uint64(x.Barrier.Epoch) > f.at || f.first != nil {
				f.held[i] = &x
			}
		}
	}
	if f.first != nil {
		return f.firstBatch(committed)
	}
	epoch := uint64(f.held[0].Barrier.Epoch)
	if epoch > committed { // nothing happened in between
		f.at = committed
		return b, false, nil, nil
	}
	b = Batch{Epoch: epoch}
	for i := range f.held {
		for _, c := range f.held[i].Chunks {
			b.Chunks = append(b.Chunks, c.WithCols(c.Cols[:len(f.types)])) // columns may have been added
		}
		f.held[i] = nil
	}
	f.at = epoch
	if len(b.Chunks) == 0 {
		return b, false, nil, nil
	}
	f.told.Store(epoch)
	return b, true, nil, nil
}

// explain words the error that ended the feed.
func (f *Feed) explain(err error) error {
	t, ok := err.(*tooSlow)
	if !ok {
		return err
	}
	e := sqlerr.New(sqlerr.ProgramLimitExceeded, "the client is too slow: more than %d kB of changes wait for it", t.limit>>10)
	if !f.whole {
		return e.WithDetail("It has not received the first rows completely.").WithHint("A larger subscribe_memory allows a client to be further behind.")
	}
	return e.WithDetail("Its last complete timestamp is %d.", f.told.Load()).
		WithHint("AS OF %d goes on from there while a subscription keeps the changes. A larger subscribe_memory allows a client to be further behind.", f.told.Load())
}
