package job

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// Captures are the changelogs through which the job of a source hands changes to the jobs of captured tables. It is shared by
// all of them, and outlives none.
type Captures struct {
	mu   sync.Mutex
	logs map[catalog.ID]*changelog.Log
}

// Log returns the changelog of a table, made when it is first asked for.
func (c *Captures) Log(table catalog.ID) *changelog.Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.logs[table]
	if l == nil {
		l = changelog.New()
		if c.logs == nil {
			c.logs = map[catalog.ID]*changelog.Log{}
		}
		c.logs[table] = l
	}
	return l
}

func (c *Captures) each(f func(id catalog.ID, l *changelog.Log)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, l := range c.logs {
		f(id, l)
	}
}

// CaptureConfig is what the job of a source that captures tables needs besides Config.
type CaptureConfig struct {
	Captures *Captures
	// Tables lists the tables to read now; Changed is closed when the list is another one.
	Tables func() (tables []connector.Table, changed <-chan struct{})
	// Follow lets a table follow a change of its upstream's columns. It may be called again with a change that was carried out.
	Follow func(ctx context.Context, change *connector.SchemaChange) error
}

// captureRoot is the only operator of a capturing job: it keeps offsets as a sourceScan does, and at each barrier gives each
// table's changes to its changelog.
type captureRoot struct {
	*sourceScan
	captures *Captures
	pending  map[catalog.ID][]*delta.Chunk
	half     []*connector.Batch // of a transaction that has not ended
}

// abandoned is sent instead of the rest of a transaction whose reader has failed in the middle of it: the next one gives it from its
// beginning, and nobody waits for it meanwhile.
var abandoned = &connector.Batch{}

// OnMeta implements actor.Leaf.
func (r *captureRoot) OnMeta(meta any) {
	b := meta.(*connector.Batch)
	if b == abandoned {
		r.half = nil
		return
	}
	if r.half = append(r.half, b); !b.EndOfTxn {
		return
	}
	for _, b := range r.half {
		r.keep(b)
	}
	r.half = nil
}

// keep takes a batch of a transaction that is whole.
func (r *captureRoot) keep(b *connector.Batch) {
	r.mu.Lock()
	if b.Backlog < 0 { // a piece of a snapshot, which says nothing of the log
		last := *b
		last.Backlog = r.backlog
		b = &last
	}
	r.mu.Unlock()
	r.sourceScan.OnMeta(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.split(connector.LogSplit).Lag = b.Backlog
	if b.Retained >= 0 {
		r.split(connector.LogSplit).Retained = b.Retained
	}
	for _, t := range b.Tables {
		r.pending[t.Table] = append(r.pending[t.Table], t.Chunk)
		n := int64(t.Chunk.Len())
		r.rows += n
		r.split(connector.TableSplit(t.Table)).Rows += n
	}
}

// OnBarrier implements stream.Operator.
func (r *captureRoot) OnBarrier(b stream.Barrier, emit stream.Emit) error {
	if err := r.sourceScan.OnBarrier(b, emit); err != nil {
		return err
	}
	r.captures.each(func(id catalog.ID, l *changelog.Log) { l.Append(changelog.Entry{Barrier: b, Chunks: r.pending[id]}) })
	clear(r.pending)
	return nil
}

// Stats implements stream.Operator.
func (r *captureRoot) Stats() state.Stats { return r.sourceScan.Stats() }

// capturePump feeds a captureRoot. One goroutine.
type capturePump struct {
	src      connector.Capture
	spec     connector.SourceSpec
	cfg      *CaptureConfig
	scan     *sourceScan
	edge     *actor.Edge
	sent     map[string][]byte
	activity func(rows int, txn bool)
	current  current
	quiet    time.Time               // when activity was told last
	half     []connector.SplitOffset // sent of a transaction that has not ended
	open     int                     // and how many rows of it
	slow     *throttle.Throttle
	inTxn    bool // the last batch ended within a transaction
	tasks    chan *captureTask
}

// captureTask is what has to be done while nobody reads.
type captureTask struct {
	splits []connector.SplitOffset
	do     func(ctx context.Context) error
	done   chan error // capacity 1
}

// Refresh has captured tables looked at and read anew, in place of what they hold, and with log the upstream's log from now on, wherever it was read to.
// do runs while nobody reads the upstream, and may change the tables' columns. Only the job of a capturing source takes it.
func (j *Job) Refresh(ctx context.Context, tables []catalog.ID, log bool, do func(ctx context.Context) error) error {
	for _, p := range j.captures {
		t := &captureTask{do: do, done: make(chan error, 1)}
		for _, id := range tables {
			t.splits = append(t.splits, connector.SplitOffset{Split: connector.TableSplit(id), Offset: cdc.Anew()})
		}
		if log {
			t.splits = append(t.splits, connector.SplitOffset{Split: connector.LogSplit, Offset: connector.FromStart})
		}
		select {
		case p.tasks <- t:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case err := <-t.done:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("refresh captured tables: the job has none")
}

// perform carries out a task between two sessions.
func (p *capturePump) perform(ctx context.Context, t *captureTask) {
	err := t.do(ctx)
	if err == nil {
		err = p.send(ctx, &connector.Batch{Offsets: t.splits, EndOfTxn: true, Backlog: -1, Retained: -1}, 0)
		// Who waits must not find the state from before.
		for err == nil && slices.ContainsFunc(t.splits, func(o connector.SplitOffset) bool { return !p.scan.at(o.Split, o.Offset) }) {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
	}
	t.done <- err
}

// quietEach is how often a log that moves on without a change for any table is worth a barrier.
const quietEach = 10 * time.Second

func (p *capturePump) run(ctx context.Context) error {
	wait := retryMin
	for ctx.Err() == nil {
		began := time.Now()
		progressed, task, err := p.session(ctx)
		if progressed && time.Since(began) > wait { // a reader may have its first say before it finds that it cannot go on
			wait = retryMin
		}
		if task != nil {
			p.perform(ctx, task)
			continue
		}
		if err == nil || ctx.Err() != nil {
			continue // other tables, or columns: open again at once
		}
		p.scan.fail(err.Error())
		p.spec.Logger.Warn("retry source", "source", p.spec.Name, "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case t := <-p.tasks:
			p.perform(ctx, t)
		case <-ctx.Done():
		}
		wait = min(2*wait, retryMax)
	}
	return ctx.Err()
}

// session reads with one reader until it fails, there is a task to do, or it has to be opened anew (nil error).
func (p *capturePump) session(parent context.Context) (progressed bool, task *captureTask, err error) {
	tables, changed := p.cfg.Tables()
	spec := p.spec
	spec.Tables = tables
	start := p.positions(tables)
	r, err := p.src.Open(parent, &spec, start)
	if err != nil {
		return false, nil, err
	}
	p.current.set(r)
	p.inTxn = false
	defer p.current.set(nil)
	p.scan.fail("")
	defer func() { _ = r.Close() }()
	defer p.abandon(parent)
	ctx, cancel := context.WithCancel(parent)
	watched, asked := make(chan struct{}), (*captureTask)(nil)
	defer func() {
		cancel()
		<-watched
		task = asked
	}()
	go func() { // session waits
		defer close(watched)
		select {
		case <-changed:
			cancel()
		case asked = <-p.tasks:
			cancel()
		case <-ctx.Done():
		}
	}()
	for {
		b, err := r.Next(ctx)
		if err == nil {
			err = p.pass(ctx, b)
			progressed = true
		}
		switch {
		case parent.Err() != nil:
			return progressed, nil, parent.Err()
		case ctx.Err() != nil, errors.Is(err, errFollowed):
			return progressed, nil, nil
		case err != nil:
			return progressed, nil, err
		}
	}
}

// positions lists where to begin, and makes the splits known.
func (p *capturePump) positions(tables []connector.Table) []connector.SplitOffset {
	splits := []string{connector.LogSplit}
	for _, t := range tables {
		splits = append(splits, connector.TableSplit(t.ID))
	}
	p.scan.mu.Lock()
	defer p.scan.mu.Unlock()
	p.scan.mine = map[string]struct{}{}
	out := make([]connector.SplitOffset, len(splits))
	for i, s := range splits {
		p.scan.mine[s] = struct{}{}
		out[i] = connector.SplitOffset{Split: s, Offset: p.scan.offsets[s]}
		if o, ok := p.sent[s]; ok {
			out[i].Offset = o // the actor may not have taken all that was sent
		}
	}
	return out
}

var errFollowed = errors.New("a captured table has followed its upstream")

// pass sends a batch on, or carries out the change that it announces.
func (p *capturePump) pass(ctx context.Context, b *connector.Batch) error {
	if b.Change != nil {
		p.abandon(ctx) // of a transaction that it comes in: the next reader begins it again, and following waits for barriers
		if err := p.cfg.Follow(ctx, b.Change); err != nil {
			return fmt.Errorf("follow a change of the upstream table: %w", err)
		}
		if err := p.send(ctx, &connector.Batch{Offsets: b.Change.Then, EndOfTxn: true, Backlog: -1, Retained: -1}, 0); err != nil {
			return err
		}
		return errFollowed
	}
	rows, told := 0, time.Since(p.quiet) >= quietEach
	for _, t := range b.Tables {
		rows += t.Chunk.Len()
	}
	for _, o := range b.Offsets {
		told = told || strings.HasPrefix(o.Split, "table:")
	}
	if !told && rows == 0 {
		rows = -1
	}
	return p.send(ctx, b, rows)
}

// send hands a batch to the actor; rows −1: nobody needs to see it soon.
func (p *capturePump) send(ctx context.Context, b *connector.Batch, rows int) error {
	if p.inTxn { // a barrier waits for the transaction's end
		p.slow.Charge(max(rows, 0))
	} else if err := p.slow.Pass(ctx, max(rows, 0)); err != nil {
		return err
	}
	p.inTxn = !b.EndOfTxn
	if err := p.edge.Send(ctx, actor.Message{Meta: b, Open: !b.EndOfTxn}); err != nil {
		return err
	}
	p.half = append(p.half, b.Offsets...)
	if p.open += max(rows, 0); !b.EndOfTxn {
		return nil // activity may wait for a barrier to get through, and none does before the transaction has ended
	}
	for _, o := range p.half {
		p.sent[o.Split] = o.Offset
	}
	p.half = nil
	if rows >= 0 || p.open > 0 {
		p.quiet = time.Now()
		p.activity(p.open, true)
	}
	p.open = 0
	return nil
}

// abandon takes back what was sent of a transaction that has not ended.
func (p *capturePump) abandon(ctx context.Context) {
	if len(p.half) == 0 && p.open == 0 {
		return
	}
	p.half, p.open = nil, 0
	_ = p.edge.Send(ctx, actor.Message{Meta: abandoned}) // it fails only when the job ends
}

// current is the reader that is open, for acknowledgements.
type current struct {
	mu sync.Mutex
	r  connector.Reader
}

func (c *current) set(r connector.Reader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.r = r
}

// ack tells the reader what is durable.
func (c *current) ack(offsets []connector.SplitOffset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a, ok := c.r.(connector.Acker); ok && len(offsets) > 0 {
		a.Ack(offsets)
	}
}

// capture makes the one actor of a job that captures tables.
func (b *builder) capture(n *plan.Capture) error {
	src, err := b.cfg.Source(n.Connector.Name)
	if err != nil {
		return err
	}
	capture, ok := src.(connector.Capture)
	if !ok {
		return fmt.Errorf("connector %q does not capture tables", n.Connector.Name)
	}
	a := actor.New(b.cfg.Rel.ID, 0, b.cfg.Rel.Name+"/0", b.cfg.OnAck)
	b.job.actors = append(b.job.actors, a)
	scan, err := newSourceScan(b.env(&instance{width: 1, store: b.cfg.Store}).Table(n.State))
	if err != nil {
		return err
	}
	scan.readable = readableOffset(capture)
	b.job.stats = append(b.job.stats, scan)
	node := a.AddNode(&captureRoot{sourceScan: scan, captures: b.cfg.Capture.Captures, pending: map[catalog.ID][]*delta.Chunk{}}, nil, 0)
	edge := a.AddInput(a.AddLeaf(node, 0))
	b.job.direct = append(b.job.direct, edge)
	b.job.captures = append(b.job.captures, &capturePump{slow: b.throttle(n.Source), src: capture, scan: scan, edge: edge, cfg: b.cfg.Capture, activity: b.cfg.Activity,
		sent: map[string][]byte{}, tasks: make(chan *captureTask), spec: connector.SourceSpec{Name: n.Name, ID: n.Source, Connector: n.Connector, Settings: b.cfg.Settings,
			Logger: b.cfg.Logger, Instance: b.cfg.Instance}})
	return nil
}

// captureScan makes the leaf of a captured table's job.
func (b *builder) captureScan(n *plan.CaptureScan, in *instance, parent *actor.Node, port int) {
	node := &plan.TableScan{Table: n.Table, Out: n.Out}
	for i := range n.Out {
		node.Cols = append(node.Cols, i)
	}
	b.job.scans = append(b.job.scans, &scanPump{node: node, sub: b.cfg.CaptureLog(n.Source, n.Table).Subscribe(),
		edge: in.actor.AddInput(in.actor.AddLeaf(parent, port)), parts: 1, after: b.cfg.StartEpoch, captured: true})
}

// readableOffset says where an offset of a capture is.
func readableOffset(src connector.Capture) func(split string, offset []byte) string {
	log, _ := src.(connector.Readable)
	return func(split string, offset []byte) string {
		switch {
		case split != connector.LogSplit:
			if o, err := cdc.ParseTableOffset(offset); err == nil {
				return fmt.Sprintf("%s, %d rows of the snapshot", o.Phase, o.Rows)
			}
		case log != nil:
			return log.ReadableOffset(offset)
		}
		return string(offset)
	}
}
