// Package job turns a stream plan into running actors: fragments, exchanges, state tables, and the leaves
// that connect a job to sources, to DML and to other jobs' changelogs.
//
// The idea: a plan is cut at its Exchange nodes; each piece (fragment) runs as one or Parallelism actors.
// Barriers enter a job at its leaves: scans get them from their upstream's changelog, all other leaves from
// the coordinator through Inject. When all actors have acknowledged an epoch the job has completed it.
//
// A Job is built and started by one goroutine; Inject and Stop may be called by another. Every goroutine a
// job starts has ended when Wait returns.
//
// It does not decide about epochs (internal/engine, meta/epoch). Start at Build.
package job

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/exchange"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/executor/throttle"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/table"
)

// Upstream is a relation that a job scans.
type Upstream struct {
	Rel  *catalog.Relation
	Logs []*changelog.Log // per partition
	// View is the snapshot to begin with; nil: the job continues from saved state.
	View *table.View
}

// Config is what a job is built with.
type Config struct {
	Rel         *catalog.Relation
	Plan        plan.Node
	Parallelism int
	StartEpoch  stream.Epoch
	Store       state.Store // nil: the job is new and has no saved state
	Saved       state.Store // what checkpoints of the job hold, also of a new one
	Tables      *table.Store
	Logs        []*changelog.Log // of the job's own relation, per partition
	Upstreams   map[catalog.ID]Upstream
	Source      func(name string) (connector.Source, error)
	SinkRoot    func(n *plan.Sink, env *stream.Env) (stream.Operator, error)
	Settings    *sqlio.Settings
	Logger      *slog.Logger
	// Activity says that a source has sent rows, with txn as whole transactions of another database; it may wait, to slow the source down.
	Activity   func(rows int, txn bool)
	OnAck      func(a actor.Ack) // from the actors' goroutines
	Report     func(weight int64, err *sqlerr.Error)
	Late       func(rows int) // rows below a watermark that an operator has acted on
	Quarantine func([]connector.RecordError)
	Reader     string                                     // names the job for ever, for what a source makes outside for it
	Throttle   func(source catalog.ID) *throttle.Throttle // default: nothing is slowed down
	// Capture is for the job of a source that captures tables; CaptureLog finds the changelog that feeds a captured table.
	Capture    *CaptureConfig
	CaptureLog func(source, table catalog.ID) *changelog.Log
	// Instance names the relation for ever, for what a connector makes upstream.
	Instance string
	// Missed is set for a job that goes on behind the others.
	Missed *Missed
	// Again: barriers up to this epoch come a second time, and ask for no eviction: what they would have written is not stored.
	Again stream.Epoch
	// Before is the job that this one replaces: its places in the changelogs of its upstreams are taken over. nil: the job begins
	// at their ends.
	Before *Job
}

// Job is a running streaming query.
type Job struct {
	ID       catalog.ID
	cfg      Config
	actors   []*actor.Actor
	direct   []*actor.Edge // leaves whose barriers come from Inject
	dml      *actor.Edge
	scans    []*scanPump
	sources  []*sourcePump
	captures []*capturePump
	stats    []*sourceScan
	marks    []*watermark
	bulk     bool
	backfill *Backfill
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	inbox    inbox
	mu       struct {
		sync.Mutex
		err error
	}
}

// inbox holds what was injected and not yet sent; it never makes the coordinator wait. While the snapshot
// phase lasts, barriers of ordinary epochs are kept for later.
type inbox struct {
	sync.Mutex
	holding    bool
	now, later []injected
	wake       chan struct{} // capacity 1
}

func (x *inbox) put(m injected, snapshot, last bool) {
	x.Lock()
	defer x.Unlock()
	if x.holding && !snapshot {
		x.later = append(x.later, m)
		return
	}
	x.now = append(x.now, m)
	if last {
		x.holding = false
		x.now = append(x.now, x.later...)
		x.later = nil
	}
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

func (x *inbox) take() []injected {
	x.Lock()
	defer x.Unlock()
	out := x.now
	x.now = nil
	return out
}

type injected struct {
	b      *stream.Barrier // nil: more follows
	chunks []*delta.Chunk
	rows   *change.Map // a large transaction to be sent as chunks; nil: none
}

// Actors returns how many acknowledgements an epoch needs.
func (j *Job) Actors() int { return len(j.actors) }

// HasDirect reports whether the job needs Inject to get its barriers.
func (j *Job) HasDirect() bool { return len(j.direct) > 0 }

// Backfill returns the snapshot phase's progress; nil for a job that has none.
func (j *Job) Backfill() *Backfill { return j.backfill }

// Sources reports on the sources inside the job.
func (j *Job) Sources() []SourceStatus {
	var out []SourceStatus
	for _, s := range j.stats {
		out = append(out, s.status())
	}
	return out
}

// Watermarks reports on the watermarks that the job makes.
func (j *Job) Watermarks() []WatermarkStatus {
	var out []WatermarkStatus
	for _, w := range j.marks {
		out = append(out, w.status()...)
	}
	return out
}

// SourcesPlaced reports whether every source inside the job has a position: after a checkpoint a restart goes
// on from there, whatever the configured start then means. True for a job without sources.
func (j *Job) SourcesPlaced() bool {
	for _, s := range j.stats {
		if !s.placed() {
			return false
		}
	}
	return true
}

// HasSources reports whether the job reads from outside.
func (j *Job) HasSources() bool { return len(j.stats) > 0 }

// Build makes the actors of a plan; nothing runs yet.
func Build(cfg Config) (*Job, error) {
	j := &Job{ID: cfg.Rel.ID, cfg: cfg, bulk: takesBulk(cfg.Plan), inbox: inbox{wake: make(chan struct{}, 1)}}
	b := &builder{job: j, cfg: &cfg, floors: map[*plan.Watermark]*floor{}}
	if err := b.build(cfg.Plan); err != nil {
		return nil, fmt.Errorf("build job %d: %w", cfg.Rel.ID, err)
	}
	for _, a := range j.actors {
		a.Ready()
	}
	snapshots := 0
	for _, s := range j.scans {
		if s.view != nil {
			snapshots++
		}
	}
	if snapshots > 0 {
		j.backfill = &Backfill{ended: make(chan struct{})}
		j.inbox.holding = true
		j.backfill.pending.Store(int64(snapshots))
		for _, s := range j.scans {
			s.bf = j.backfill
			j.backfill.barriers = append(j.backfill.barriers, make(chan *stream.Barrier, 16))
		}
	}
	return j, nil
}

// Start runs the job until Stop or an error; onEnd is called once, when a goroutine of the job fails.
func (j *Job) Start(parent context.Context, onEnd func(error)) {
	ctx, cancel := context.WithCancel(parent)
	j.cancel = cancel
	var once sync.Once
	run := func(f func() error) {
		j.wg.Add(1)
		go func() { // Wait waits for it
			defer j.wg.Done()
			if err := f(); err != nil && ctx.Err() == nil {
				j.mu.Lock()
				j.mu.err = err
				j.mu.Unlock()
				cancel()
				once.Do(func() { onEnd(err) })
			}
		}()
	}
	for _, a := range j.actors {
		run(func() error { return a.Run(ctx) })
	}
	for i, s := range j.scans {
		var barriers chan *stream.Barrier
		if j.backfill != nil {
			barriers = j.backfill.barriers[i]
		}
		run(func() error { return s.run(ctx, barriers) })
	}
	for _, s := range j.sources {
		run(func() error { return s.run(ctx) })
	}
	for _, s := range j.captures {
		run(func() error { return s.run(ctx) })
	}
	run(func() error { return j.injector(ctx) })
}

// Inject gives the job an epoch's DML chunks and its barrier. It does not wait.
func (j *Job) Inject(b *stream.Barrier, chunks []*delta.Chunk) {
	j.inbox.put(injected{b: b, chunks: chunks}, false, false)
}

// InjectBefore gives the job chunks and then the rows of a large transaction, whose barrier follows later.
func (j *Job) InjectBefore(chunks []*delta.Chunk, rows *change.Map) {
	j.inbox.put(injected{chunks: chunks, rows: rows}, false, false)
}

// InjectBulk is Inject of a large transaction, as a whole where the job takes it so.
func (j *Job) InjectBulk(b *stream.Barrier, rows *change.Map) {
	if !j.bulk {
		j.inbox.put(injected{b: b, rows: rows}, false, false)
		return
	}
	own := *b
	own.Bulk = rows
	j.inbox.put(injected{b: &own}, false, false)
}

func (j *Job) injector(ctx context.Context) error {
	for {
		select {
		case <-j.inbox.wake:
		case <-ctx.Done():
			return nil
		}
		for _, m := range j.inbox.take() {
			send := func(c *delta.Chunk) error { return j.dml.Send(ctx, actor.Message{Chunk: c}) }
			for _, c := range m.chunks {
				if err := send(c); err != nil {
					return err
				}
			}
			if m.rows != nil {
				layout := NewLayout(j.cfg.Rel)
				if err := layout.NetChunks(m.rows, nil, send); err != nil {
					return err
				}
			}
			for _, e := range j.direct {
				if m.b == nil {
					break // more of the epoch follows
				}
				if err := e.Send(ctx, actor.Message{Barrier: m.b}); err != nil {
					return err
				}
			}
		}
	}
}

// SnapshotBarrier sends a barrier of the snapshot phase into every leaf; last ends the phase.
func (j *Job) SnapshotBarrier(ctx context.Context, b *stream.Barrier, last bool) {
	j.inbox.put(injected{b: b}, true, last)
	for _, ch := range j.backfill.barriers {
		select {
		case ch <- b:
		case <-ctx.Done():
		}
		if last {
			close(ch)
		}
	}
}

// Release tells upstream changelogs, and sources outside, that the job has saved epoch e.
func (j *Job) Release(e stream.Epoch) {
	for _, s := range j.sources {
		s.current.ack(s.scan.durable(e))
	}
	for _, s := range j.captures {
		s.current.ack(s.scan.durable(e))
	}
	for _, s := range j.scans {
		s.sub.Release(e)
	}
}

// Lag returns the largest number of epochs, and the bytes in all, that the job's scans are behind.
func (j *Job) Lag() (epochs, bytes int) {
	for _, s := range j.scans {
		e, b := s.sub.Lag()
		epochs, bytes = max(epochs, e), bytes+b
	}
	return epochs, bytes
}

// Stop ends the job at once; Wait for its end.
func (j *Job) Stop() {
	if j.cancel != nil {
		j.cancel()
	}
}

// Leave gives up the job's places in the changelogs of its upstreams: no other job takes them over.
func (j *Job) Leave() {
	for _, s := range j.scans {
		s.sub.Close()
	}
}

// Wait returns when every goroutine of the job has ended, with the error that ended it.
func (j *Job) Wait() error {
	j.wg.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mu.err
}

// builder makes actors from a plan, one fragment after the other, downstream first.
type builder struct {
	job    *Job
	cfg    *Config
	floors map[*plan.Watermark]*floor
	shared map[int]*shared // by Share.ID: met, not built yet
	slow   map[catalog.ID]*throttle.Throttle
}

// shared is a part of the plan that several fragments read.
type shared struct {
	input plan.Node
	to    []*target
}

// target is where a fragment's results go: one edge per actor of the downstream fragment, for each upstream actor.
type target struct {
	kind plan.ExchangeKind
	keys []int
	to   []*actor.Actor
	leaf []int
	// forward: an actor sends to the one of the same number and to no other; kind says nothing.
	forward bool
}

// build makes the fragments of a plan. A shared part comes after all that read it: those with lower numbers may be
// read by those with higher ones.
func (b *builder) build(n plan.Node) error {
	if c, ok := n.(*plan.Capture); ok {
		return b.capture(c)
	}
	b.shared = map[int]*shared{}
	if err := b.fragment(n, nil); err != nil {
		return err
	}
	for len(b.shared) > 0 {
		id := slices.Max(slices.Collect(maps.Keys(b.shared)))
		s := b.shared[id]
		delete(b.shared, id)
		if err := b.fragment(s.input, s.to); err != nil {
			return err
		}
	}
	return nil
}

// read adds a reader of a shared part.
func (b *builder) read(n *plan.Share, t *target) {
	s := b.shared[n.ID]
	if s == nil {
		s = &shared{input: n.Input}
		b.shared[n.ID] = s
	}
	s.to = append(s.to, t)
}

func (b *builder) width(n plan.Node) int {
	return RootWidth(n, b.cfg.Parallelism, func(id catalog.ID) int { return len(b.cfg.Upstreams[id].Logs) })
}

// RootWidth returns how many actors the fragment of a plan's root runs as, and so how many partitions its relation has. parts tells it of
// an upstream relation.
func RootWidth(n plan.Node, parallelism int, parts func(id catalog.ID) int) int {
	w := 1
	var visit func(n plan.Node)
	visit = func(n plan.Node) {
		switch x := n.(type) {
		case *plan.Exchange:
			if x.Kind == plan.ExchangeHash {
				w = parallelism
			}
			return
		case *plan.Share:
			w = max(w, RootWidth(x.Input, parallelism, parts))
			return
		case *plan.SourceScan:
			w = parallelism
		case *plan.TableScan:
			w = max(w, parts(x.Table))
		}
		for _, c := range n.Children() {
			visit(c)
		}
	}
	visit(n)
	return w
}

// fragment builds the actors of the fragment rooted at n; out says where they send, nowhere for the job's root.
func (b *builder) fragment(n plan.Node, out []*target) error {
	width := b.width(n)
	for _, t := range out {
		if t.forward && len(t.to) != width {
			return fmt.Errorf("forward from %d actors to %d", width, len(t.to))
		}
	}
	acts := make([]*actor.Actor, width)
	for i := range acts {
		id := len(b.job.actors)
		acts[i] = actor.New(b.cfg.Rel.ID, id, fmt.Sprintf("%s/%d", b.cfg.Rel.Name, id), b.cfg.OnAck)
		b.job.actors = append(b.job.actors, acts[i])
		if outputs := dispatchers(out, i); len(outputs) == 1 {
			acts[i].SetOutput(outputs[0])
		} else if len(outputs) > 1 {
			acts[i].SetOutput(exchange.Tee(outputs))
		}
	}
	insts := make([]*instance, width)
	for i, a := range acts {
		insts[i] = &instance{b: b, actor: a, index: i, width: width, store: b.cfg.Store}
		env := b.env(insts[i])
		// proctime() is the time at which a row is processed; it never falls.
		a.OnTime(func(now int64) { env.Ctx.Now = max(env.Ctx.Now, now) })
		insts[i].env = env
	}
	return b.tree(n, insts, make([]*actor.Node, width), 0)
}

// dispatchers makes the outputs of one upstream actor.
func dispatchers(out []*target, upstream int) []actor.Output {
	all := make([]actor.Output, len(out))
	for k, t := range out {
		all[k] = t.dispatcher(upstream)
	}
	return all
}

// dispatcher makes the output of one upstream actor.
func (t *target) dispatcher(upstream int) actor.Output {
	if t.forward {
		return exchange.Broadcast([]*actor.Edge{t.to[upstream].AddInput(t.leaf[upstream])})
	}
	edges := make([]*actor.Edge, len(t.to))
	for k, a := range t.to {
		edges[k] = a.AddInput(t.leaf[k])
	}
	if t.kind == plan.ExchangeHash {
		return exchange.Hash(edges, t.keys)
	}
	return exchange.Broadcast(edges)
}

// instance is one actor of a fragment under construction.
type instance struct {
	b     *builder
	actor *actor.Actor
	index int
	width int
	env   *stream.Env
	store state.Store  // nil: nothing is saved of its operators
	marks []*watermark // above what is built next
}

func (b *builder) env(in *instance) *stream.Env {
	cfg := b.cfg
	env := &stream.Env{
		Table: func(ordinal int) state.Config {
			return state.Config{Table: uint32(cfg.Rel.StateBase) + uint32(ordinal), Store: in.store}
		},
		Owns:           func(v uint16) bool { return exchange.Owner(v, in.width) == in.index },
		Ctx:            &expr.Ctx{Settings: cfg.Settings},
		Report:         cfg.Report,
		Late:           cfg.Late,
		StartEpoch:     cfg.StartEpoch,
		SingletonVNode: SingletonVNode(cfg.Rel.ID),
		AppendOnly:     plan.AppendOnly,
	}
	env.UniqueKey = func(n plan.Node) ([]int, bool) {
		keys := plan.UniqueKeys(n)
		if len(keys) == 0 {
			return nil, false
		}
		return keys[0], true
	}
	return env
}

// newTarget makes a leaf in every instance that feeds the parents at the given port.
func newTarget(insts []*instance, parents []*actor.Node, port int) *target {
	t := &target{}
	for i, in := range insts {
		t.to = append(t.to, in.actor)
		t.leaf = append(t.leaf, in.actor.AddLeaf(parents[i], port))
	}
	return t
}

// tree adds node n to every instance, under parents at the given port, then its children.
func (b *builder) tree(n plan.Node, insts []*instance, parents []*actor.Node, port int) error {
	switch x := n.(type) {
	case *plan.Exchange:
		t := newTarget(insts, parents, port)
		t.kind, t.keys = x.Kind, x.Keys
		if s, ok := x.Input.(*plan.Share); ok {
			b.read(s, t)
			return nil
		}
		return b.fragment(x.Input, []*target{t})
	case *plan.Share:
		t := newTarget(insts, parents, port)
		t.forward = true
		b.read(x, t)
		return nil
	case *plan.TableScan:
		return b.tableScan(x, insts, parents, port)
	case *plan.CaptureScan:
		b.captureScan(x, insts[0], parents[0], port)
		return nil
	case *plan.DML:
		edge := insts[0].actor.AddInput(insts[0].actor.AddLeaf(parents[0], port))
		b.job.dml = edge
		b.job.direct = append(b.job.direct, edge)
		return nil
	}
	nodes := make([]*actor.Node, len(insts))
	for i, in := range insts {
		op, err := in.operator(n)
		if err != nil {
			return err
		}
		nodes[i] = in.actor.AddNode(op, parents[i], port)
		if in.b.cfg.Saved != nil {
			in.onEvict(n, nodes[i])
		}
		rules, err := stream.NewMarkRules(n, in.env)
		if err != nil {
			return err
		}
		nodes[i].CarryMarks(rules)
		if src, ok := n.(*plan.SourceScan); ok {
			if err := b.source(src, op.(*sourceScan), in, nodes[i]); err != nil {
				return err
			}
		}
	}
	children := n.Children()
	if _, isSource := n.(*plan.SourceScan); len(children) == 0 && !isSource {
		for i, in := range insts { // Values and their like: barriers only
			b.job.direct = append(b.job.direct, in.actor.AddInput(in.actor.AddLeaf(nodes[i], 0)))
		}
	}
	for k, c := range children {
		if err := b.tree(c, insts, nodes, k); err != nil {
			return err
		}
	}
	if _, ok := n.(*plan.Watermark); ok { // what is built next does not lie below it
		for _, in := range insts {
			in.marks = in.marks[:len(in.marks)-1]
		}
	}
	return nil
}

// onEvict says how a node's operator begins anew. Sources, watermarks and the roots of sinks hold little, and stay.
func (in *instance) onEvict(n plan.Node, node *actor.Node) {
	switch n.(type) {
	case *plan.Sink, *plan.SourceScan, *plan.Watermark:
		return
	}
	node.OnEvict(func(e stream.Epoch) (stream.Operator, error) {
		in.store, in.env.StartEpoch = in.b.cfg.Saved, e
		if m, ok := node.Op.(*materialize); ok {
			m.evict()
			return m, nil
		}
		return stream.Build(n, in.env)
	})
}

func (in *instance) operator(n plan.Node) (stream.Operator, error) {
	switch x := n.(type) {
	case *plan.Materialize:
		return newMaterialize(x, in.b.cfg.Rel, in.b.cfg, in.env, in.index), nil
	case *plan.Sink:
		return in.b.cfg.SinkRoot(x, in.env)
	case *plan.SourceScan:
		s, err := newSourceScan(in.env.Table(x.State))
		if err == nil {
			s.report, s.policy = in.b.cfg.Quarantine, x.Connector.Options["on_error"]
			in.b.job.stats = append(in.b.job.stats, s)
			for _, w := range in.marks {
				w.reads(s)
			}
		}
		return s, err
	case *plan.Watermark:
		f := in.b.floors[x]
		if f == nil {
			f = newFloor(in.width)
			in.b.floors[x] = f
		}
		w, err := newWatermark(x, in.env, f, in.index)
		if err == nil {
			in.marks = append(in.marks, w)
			in.b.job.marks = append(in.b.job.marks, w)
		}
		return w, err
	}
	return stream.Build(n, in.env)
}

func (b *builder) source(n *plan.SourceScan, scan *sourceScan, in *instance, node *actor.Node) error {
	src, err := b.cfg.Source(n.Connector.Name)
	if err != nil {
		return err
	}
	edge := in.actor.AddInput(in.actor.AddLeaf(node, 0))
	var pk []int // of the declared columns
	for _, k := range n.UpsertKey {
		pk = append(pk, n.Cols[k])
	}
	spec := &connector.SourceSpec{Name: n.Name, ID: n.Source, Connector: n.Connector, Columns: n.Fields,
		PrimaryKey: pk, Cols: n.Cols, Settings: b.cfg.Settings, Logger: b.cfg.Logger}
	slow := b.throttle(n.Source)
	spec.Reader = b.cfg.Reader
	spec.Limit = func() int { return slow.Batch(delta.BatchRows) }
	b.job.sources = append(b.job.sources, &sourcePump{src: src, spec: spec, slow: slow, index: in.index, n: in.width,
		scan: scan, edge: edge, activity: b.cfg.Activity, opened: b.cfg.Store != nil,
		sent: map[string][]byte{}})
	b.job.direct = append(b.job.direct, edge)
	return nil
}

// throttle returns what all actors of the job share that read a source.
func (b *builder) throttle(source catalog.ID) *throttle.Throttle {
	if b.cfg.Throttle == nil {
		return nil
	}
	if b.slow == nil {
		b.slow = map[catalog.ID]*throttle.Throttle{}
	}
	if b.slow[source] == nil {
		b.slow[source] = b.cfg.Throttle(source)
	}
	return b.slow[source]
}

// subscribe makes a scan's place in a changelog. The scans of a plan are always built in one order.
func (b *builder) subscribe(l *changelog.Log) *changelog.Sub {
	if b.cfg.Before == nil {
		return l.Subscribe()
	}
	s := b.cfg.Before.scans[len(b.job.scans)].sub
	s.Rewind()
	return s
}

func (b *builder) tableScan(n *plan.TableScan, insts []*instance, parents []*actor.Node, port int) error {
	up, ok := b.cfg.Upstreams[n.Table]
	if !ok || len(up.Logs) != len(insts) {
		return fmt.Errorf("scan of relation %d: %d partitions for %d actors", n.Table, len(up.Logs), len(insts))
	}
	for i, in := range insts {
		edge := in.actor.AddInput(in.actor.AddLeaf(parents[i], port))
		p := &scanPump{node: n, layout: NewLayout(up.Rel), sub: b.subscribe(up.Logs[i]), edge: edge,
			partition: i, parts: len(insts), after: b.cfg.StartEpoch, missed: b.cfg.Missed, base: b.cfg.Rel.StateBase, again: b.cfg.Again}
		if up.View != nil {
			p.view = up.View.Retain()
		}
		b.job.scans = append(b.job.scans, p)
	}
	return nil
}
