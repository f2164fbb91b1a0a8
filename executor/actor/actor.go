// Package actor runs stream operators: the one loop that receives, aligns barriers and drives an operator
// tree, and the edges between such loops.
//
// The idea: an actor is one goroutine with one mailbox. Every input (an upstream actor, a source, a
// changelog) sends chunks and barriers into it. When an input's barrier has come, what that input sends
// next waits in a stash until all inputs have reached the barrier; then the tree sees OnBarrier, children
// first, the output gets the barrier, and the epoch is acknowledged.
//
// Flow control is by credits, a fixed number of unprocessed chunks per edge; barriers need none. So a barrier
// reaches every output before later data, an actor keeps reading inputs that are not aligned yet, and a graph
// without cycles cannot deadlock.
//
// One goroutine (Run) owns all fields of an Actor after Start; others only send. Chunks are immutable.
//
// It knows nothing of plans or tables (executor/job builds actors). Start at Actor.Run.
package actor

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/change"
)

// credits is how many chunks an edge may hold unprocessed: enough to hide a hand-over (0.1 µs per batch),
// small enough that a barrier never waits behind more than a few milliseconds of work.
const credits = 8

// Message is what travels on an edge: a chunk or a barrier.
type Message struct {
	input   int
	Chunk   *delta.Chunk
	Barrier *stream.Barrier
	// Marks are the sender's watermarks that hold after Barrier.
	Marks stream.Marks
	// Meta goes to the leaf operator before the chunk (split offsets of a source).
	Meta any
	// Open: the message ends in the middle of a source's transaction; no barrier may cut in before the next.
	Open bool
}

// Edge is the sending end of one input of an actor. One goroutine sends data; a source's barriers may come
// from another.
type Edge struct {
	to    *Actor
	input int
	sem   chan struct{}
}

// Send hands a message over, waiting for a credit when it carries data.
func (e *Edge) Send(ctx context.Context, m Message) error {
	m.input = e.input
	if m.Barrier == nil {
		select {
		case e.sem <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case e.to.mail <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Output is where an actor's results go.
type Output interface {
	Send(ctx context.Context, c *delta.Chunk) error
	Barrier(ctx context.Context, b *stream.Barrier, m stream.Marks) error
}

// Leaf is an operator at the edge of a fragment that wants a message's Meta.
type Leaf interface{ OnMeta(meta any) }

// Node is one operator in an actor's tree.
type Node struct {
	Op     stream.Operator
	emit   stream.Emit
	parent *Node // nil: the actor's output
	port   int   // of parent
	rules  *stream.MarkRules
	in     []stream.Marks // by port, at the barrier under way
	anew   func(e stream.Epoch) (stream.Operator, error)
}

// OnEvict says how to make the operator anew over what is stored, as of epoch e. Without it the operator stays.
func (n *Node) OnEvict(f func(e stream.Epoch) (stream.Operator, error)) { n.anew = f }

// CarryMarks says how the operator's output gets its watermarks from its inputs.
func (n *Node) CarryMarks(r *stream.MarkRules) { n.rules = r }

// Ack reports that an actor has finished an epoch; d holds its state changes when b is a checkpoint.
type Ack struct {
	Actor   int
	Barrier stream.Barrier
	Delta   *state.Delta
	Stats   state.Stats
	// Wake is when (µs since 2000-01-01 UTC) an operator wants a barrier even without input; 0: never.
	Wake int64
}

// Actor drives one instance of a fragment.
type Actor struct {
	ID      int
	Name    string // fragment and instance, for errors and logs
	job     catalog.ID
	mail    chan Message
	inputs  []input
	nodes   []*Node // children before parents, once Ready
	leaves  []leaf
	out     Output // nil: the root operator ends the stream
	aligned int
	barrier *stream.Barrier
	onAck   func(Ack)
	clock   func(now int64)
	// Size of the last state delta, with some room.
	lastBytes, lastEntries int
	ctx                    context.Context // of the run; the actor is its only user
}

type input struct {
	leaf    int
	sem     chan struct{}
	aligned bool
	marks   stream.Marks // that came with the barrier
	open    bool         // in the middle of a source transaction
	held    []Message    // barriers that came while open
	stash   []Message
}

type leaf struct {
	emit   stream.Emit
	meta   Leaf
	parent *Node
	port   int
}

// New makes an actor of a job without inputs or operators; onAck is called from its goroutine.
func New(job catalog.ID, id int, name string, onAck func(Ack)) *Actor {
	return &Actor{ID: id, Name: name, job: job, onAck: onAck}
}

// AddNode adds an operator whose output goes to port of parent, which was added before, or to the actor's
// output when parent is nil.
func (a *Actor) AddNode(op stream.Operator, parent *Node, port int) *Node {
	n := &Node{Op: op, emit: a.emitTo(parent, port), parent: parent, port: port}
	a.nodes = append(a.nodes, n)
	return n
}

func (a *Actor) emitTo(parent *Node, port int) stream.Emit {
	if parent == nil {
		return func(c *delta.Chunk) error {
			if a.out == nil || c.Len() == 0 {
				return nil
			}
			return a.out.Send(a.ctx, c)
		}
	}
	return func(c *delta.Chunk) error {
		if c.Len() == 0 {
			return nil
		}
		return parent.Op.OnDelta(port, c, parent.emit)
	}
}

// AddLeaf declares a leaf of the tree, feeding port of parent (nil: the output).
func (a *Actor) AddLeaf(parent *Node, port int) int {
	l := leaf{emit: a.emitTo(parent, port), parent: parent, port: port}
	if parent != nil {
		l.meta, _ = parent.Op.(Leaf)
	}
	a.leaves = append(a.leaves, l)
	return len(a.leaves) - 1
}

// AddInput declares an input feeding a leaf and returns the edge to send on. Not after Start.
func (a *Actor) AddInput(leafIndex int) *Edge {
	sem := make(chan struct{}, credits)
	a.inputs = append(a.inputs, input{leaf: leafIndex, sem: sem})
	return &Edge{to: a, input: len(a.inputs) - 1, sem: sem}
}

// OnTime is told the time before a chunk is processed and at each barrier. Not after Start.
func (a *Actor) OnTime(f func(now int64)) { a.clock = f }

// SetOutput says where results go. Not after Start.
func (a *Actor) SetOutput(o Output) { a.out = o }

// Ready completes the actor once all inputs and nodes are known. The mailbox has room for every credit and a
// few barriers each, so that senders wait for credits and not for the mailbox.
func (a *Actor) Ready() {
	a.mail = make(chan Message, len(a.inputs)*(credits+4)+4)
	slices.Reverse(a.nodes)
}

// Run receives until a Stop barrier, an error or the end of ctx. A panic becomes an error.
func (a *Actor) Run(ctx context.Context) (err error) {
	a.ctx = ctx
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("run actor %s: panic: %v\n%s", a.Name, p, debug.Stack())
		}
	}()
	for {
		select {
		case m := <-a.mail:
			stop, err := a.receive(m)
			if err != nil {
				return fmt.Errorf("run actor %s: %w", a.Name, err)
			}
			if stop {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (a *Actor) receive(m Message) (stop bool, err error) {
	in := &a.inputs[m.input]
	if in.aligned {
		in.stash = append(in.stash, m)
		return false, nil
	}
	if err := a.step(in, m); err != nil {
		return false, err
	}
	for a.aligned == len(a.inputs) {
		b := a.barrier
		if err := a.finish(b); err != nil {
			return false, err
		}
		if b.Stop {
			return true, nil
		}
		if err := a.unstash(); err != nil {
			return false, err
		}
	}
	return false, nil
}

// step takes one message of an input that is not aligned. A barrier that comes in the middle of a source's
// transaction is held until its end.
func (a *Actor) step(in *input, m Message) error {
	if m.Barrier != nil {
		if in.open {
			in.held = append(in.held, m)
			return nil
		}
		a.align(in, m)
		return nil
	}
	l := &a.leaves[in.leaf]
	if m.Meta != nil && l.meta != nil {
		l.meta.OnMeta(m.Meta)
	}
	in.open = m.Open
	var err error
	if m.Chunk != nil && a.clock != nil {
		a.clock(stream.WallClock())
	}
	if m.Chunk != nil {
		err = l.emit(m.Chunk)
	}
	<-in.sem
	if len(in.held) > 0 && !in.open {
		in.stash = append(in.stash, in.held[1:]...)
		a.align(in, in.held[0])
		in.held = nil
	}
	return err
}

func (a *Actor) align(in *input, m Message) {
	in.aligned, in.marks = true, m.Marks
	a.barrier = m.Barrier
	a.aligned++
}

// finish ends the epoch: operators, state, output, acknowledgement.
func (a *Actor) finish(b *stream.Barrier) error {
	marks, wake := a.leafMarks(), int64(0)
	if a.clock != nil {
		a.clock(b.Now)
	}
	for _, n := range a.nodes {
		if w, ok := n.Op.(stream.Watermarker); ok {
			for port, m := range n.in {
				w.OnWatermarks(port, m)
			}
		}
		if err := n.Op.OnBarrier(*b, n.emit); err != nil {
			return err
		}
		if w, ok := n.Op.(stream.Waker); ok {
			if at, ok := w.Wake(); ok && (wake == 0 || at < wake) {
				wake = at
			}
		}
		out := n.rules.Out(n.in)
		if w, ok := n.Op.(stream.Marker); ok {
			out = append(out, w.Marks()...)
		}
		clear(n.in)
		if n.parent == nil {
			marks = out
		} else {
			n.parent.mark(n.port, out)
		}
	}
	ack := Ack{Actor: a.ID, Barrier: *b, Wake: wake}
	if b.Checkpoint {
		// About as much as last time.
		ack.Delta = change.NewSet(a.lastBytes, a.lastEntries)
		for i := range a.nodes {
			a.nodes[i].Op.Flush(ack.Delta)
			s := a.nodes[i].Op.Stats()
			ack.Stats.Rows += s.Rows
			ack.Stats.Bytes += s.Bytes
			ack.Stats.Loads += s.Loads
		}
		a.lastBytes, a.lastEntries = ack.Delta.SizeBytes()*9/8, len(ack.Delta.Entries)*9/8
	}
	if a.out != nil {
		if err := a.out.Barrier(a.ctx, b, marks); err != nil {
			return err
		}
	}
	a.onAck(ack)
	if b.Evict.Of(a.job) && !b.Stop {
		return a.evict(b)
	}
	return nil
}

// evict replaces operators by new ones over what is stored, once that is all they knew.
func (a *Actor) evict(b *stream.Barrier) error {
	ok, err := b.Evict.Wait(a.ctx)
	if err != nil || !ok {
		return err
	}
	for _, n := range a.nodes {
		if n.anew == nil {
			continue
		}
		if n.Op, err = n.anew(b.Epoch); err != nil {
			return err
		}
	}
	return nil
}

// leafMarks hands the operators above the leaves what holds for all inputs of a leaf. It returns the marks of a leaf that
// is the actor's output itself.
func (a *Actor) leafMarks() (out stream.Marks) {
	seen := make([]bool, len(a.leaves))
	marks := make([]stream.Marks, len(a.leaves))
	for i := range a.inputs {
		in := &a.inputs[i]
		if seen[in.leaf] {
			marks[in.leaf] = marks[in.leaf].Merge(in.marks)
		} else {
			seen[in.leaf], marks[in.leaf] = true, in.marks
		}
	}
	for i, l := range a.leaves {
		if l.parent == nil {
			out = marks[i]
		} else {
			l.parent.mark(l.port, marks[i])
		}
	}
	return out
}

// mark notes the watermarks of a port for the barrier under way.
func (n *Node) mark(port int, m stream.Marks) {
	for len(n.in) <= port {
		n.in = append(n.in, nil)
	}
	n.in[port] = m
}

// unstash begins the next epoch: what each input sent ahead is taken up to its next barrier.
func (a *Actor) unstash() error {
	a.aligned = 0
	for i := range a.inputs {
		in := &a.inputs[i]
		in.aligned = false
		stash := in.stash
		in.stash = nil
		for k, m := range stash {
			if in.aligned {
				in.stash = append(in.stash, stash[k:]...)
				break
			}
			if err := a.step(in, m); err != nil {
				return err
			}
		}
	}
	return nil
}
