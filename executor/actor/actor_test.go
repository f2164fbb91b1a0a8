package actor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// recorder is an operator, a leaf and an output that writes down what it is told. It passes chunks on.
type recorder struct {
	name string
	log  *[]string
	fail map[int64]any // by value of a chunk: an error to return or something to panic with
}

func (r *recorder) note(format string, args ...any) {
	*r.log = append(*r.log, r.name+" "+fmt.Sprintf(format, args...))
}

func (r *recorder) OnDelta(port int, c *delta.Chunk, emit stream.Emit) error {
	v := c.Cols[0].Ints[0]
	r.note("%d:%d", port, v)
	switch x := r.fail[v].(type) {
	case nil:
		return emit(c)
	case error:
		return x
	default:
		panic(x)
	}
}

func (r *recorder) OnBarrier(b stream.Barrier, emit stream.Emit) error {
	r.note("|%d", b.Epoch)
	return emit(chunk(-int64(b.Epoch)))
}

func (r *recorder) Flush(d *state.Delta) { d.Put(1, 0, []byte(r.name), []byte("v")) }
func (r *recorder) Stats() state.Stats   { return state.Stats{Rows: 1, Bytes: 10, Loads: 2} }
func (r *recorder) OnMeta(meta any)      { r.note("meta %v", meta) }

func (r *recorder) Send(_ context.Context, c *delta.Chunk) error {
	r.note("%d", c.Cols[0].Ints[0])
	return nil
}

func (r *recorder) Barrier(_ context.Context, b *stream.Barrier, _ stream.Marks) error {
	r.note("|%d", b.Epoch)
	return nil
}

func chunk(v int64) *delta.Chunk {
	return delta.NewChunk([]*delta.Vec{delta.IntVec(sqltypes.Int8, []int64{v})}, nil, 1)
}

func data(v int64) Message { return Message{Chunk: chunk(v)} }

func barrier(e int) Message { return Message{Barrier: &stream.Barrier{Epoch: stream.Epoch(e)}} }

// rig is an actor with one operator, an input for each of its ports, and an output.
type rig struct {
	t     *testing.T
	a     *Actor
	op    *recorder
	edges []*Edge
	log   []string
	acks  []Ack
	ended chan error
}

func newRig(t *testing.T, inputs int) *rig {
	r := &rig{t: t, ended: make(chan error, 1)}
	r.op = &recorder{name: "op", log: &r.log, fail: map[int64]any{}}
	r.a = New(7, 3, "job/1", func(k Ack) {
		r.acks = append(r.acks, k)
		r.log = append(r.log, fmt.Sprintf("ack %d", k.Barrier.Epoch))
	})
	n := r.a.AddNode(r.op, nil, 0)
	for i := range inputs {
		r.edges = append(r.edges, r.a.AddInput(r.a.AddLeaf(n, i)))
	}
	r.a.SetOutput(&recorder{name: "out", log: &r.log})
	return r
}

// run starts the actor; the test's end stops it. It may read what the actor writes after synctest.Wait.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.a.Ready()
	done := make(chan struct{})
	go func() { // the clean-up waits for it
		defer close(done)
		r.ended <- r.a.Run(ctx)
	}()
	r.t.Cleanup(func() {
		cancel()
		<-done
	})
}

func (r *rig) send(input int, ms ...Message) {
	r.t.Helper()
	for _, m := range ms {
		if err := r.edges[input].Send(r.t.Context(), m); err != nil {
			r.t.Fatal(err)
		}
		synctest.Wait()
	}
}

// saw checks what happened since the last call.
func (r *rig) saw(want ...string) {
	r.t.Helper()
	synctest.Wait()
	if !slices.Equal(r.log, want) {
		r.t.Fatalf("saw  %q\nwant %q", r.log, want)
	}
	r.log = nil
}

// TestAlignment: an input that has reached the barrier waits; the others go on. The epoch's end goes operator, output,
// acknowledgement.
func TestAlignment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.run()
		r.send(0, data(1), barrier(1), data(2))
		r.send(1, data(3))
		r.saw("op 0:1", "out 1", "op 1:3", "out 3")
		r.send(2, barrier(1))
		r.send(1, data(4))
		r.saw("op 1:4", "out 4")
		r.send(1, barrier(1))
		r.saw("op |1", "out -1", "out |1", "ack 1", "op 0:2", "out 2")
	})
}

// TestStash: what inputs send ahead is taken input by input in order of arrival, up to the next barrier, several epochs
// ahead if need be.
func TestStash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.a.SetOutput(nil)
		r.run()
		r.send(0, barrier(1), data(1), data(2), barrier(2), data(3), barrier(3), data(4))
		r.saw()
		r.send(1, data(5), barrier(1))
		r.saw("op 1:5", "op |1", "ack 1", "op 0:1", "op 0:2")
		r.send(1, data(6), barrier(2))
		r.saw("op 1:6", "op |2", "ack 2", "op 0:3")
		r.send(1, barrier(3), data(7))
		r.saw("op |3", "ack 3", "op 0:4", "op 1:7")
	})
}

// TestStashedBarriers: barriers that all inputs have sent ahead end their epochs one after the other.
func TestStashedBarriers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.a.SetOutput(nil)
		r.run()
		r.send(0, barrier(1), barrier(2), data(1))
		r.send(1, barrier(1), data(2), barrier(2))
		r.saw()
		r.send(2, barrier(1))
		r.saw("op |1", "ack 1", "op 1:2")
		r.send(2, data(3), barrier(2), data(4))
		r.saw("op 2:3", "op |2", "ack 2", "op 0:1", "op 2:4")
	})
}

// TestOpenTransaction: no barrier cuts into a source's transaction; those that come are held until its end, in order.
func TestOpenTransaction(t *testing.T) {
	open := func(v int64, isOpen bool) Message { return Message{Chunk: chunk(v), Meta: v, Open: isOpen} }
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.a.SetOutput(nil)
		r.run()
		r.send(0, open(1, true), barrier(1), open(2, true), barrier(2))
		r.saw("op meta 1", "op 0:1", "op meta 2", "op 0:2")
		r.send(0, open(3, false))
		r.saw("op meta 3", "op 0:3", "op |1", "ack 1", "op |2", "ack 2")
		r.send(0, open(4, true), barrier(3), Message{Meta: "end"}) // a transaction may end without rows
		r.saw("op meta 4", "op 0:4", "op meta end", "op |3", "ack 3")
	})
	// The same when the transaction waits in the stash.
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.a.SetOutput(nil)
		r.run()
		r.send(0, barrier(1), open(1, true), barrier(2), barrier(3), open(2, false), open(3, false))
		r.saw()
		r.send(1, barrier(1), barrier(2), data(9))
		r.saw("op |1", "ack 1", "op meta 1", "op 0:1", "op meta 2", "op 0:2", "op |2", "ack 2", "op 1:9")
		r.send(1, barrier(3))
		r.saw("op |3", "ack 3", "op meta 3", "op 0:3")
	})
}

// TestCredits: an input that is ahead gets no further than its credits, and its barriers need none.
func TestCredits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.a.SetOutput(nil)
		r.run()
		r.send(0, barrier(1))
		for v := range int64(credits) {
			r.send(0, data(v))
		}
		r.send(0, barrier(2))
		ctx, cancel := context.WithCancel(t.Context())
		sent := make(chan error, 1)
		more := func(ctx context.Context, v int64) {
			go func() { sent <- r.edges[0].Send(ctx, data(v)) }() // the test waits for it on sent
			synctest.Wait()
		}
		more(ctx, 100)
		if len(sent) > 0 {
			t.Fatal("there was a credit too many")
		}
		cancel()
		if err := <-sent; !errors.Is(err, context.Canceled) {
			t.Fatalf("Send gives %v", err)
		}
		more(t.Context(), 101)
		r.send(1, data(50)) // has credits of its own
		if len(sent) > 0 {
			t.Fatal("a credit came from another input")
		}
		r.send(1, barrier(1))
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		r.log = nil
		r.send(1, barrier(2))
		r.saw("op |2", "ack 2", "op 0:101")
	})
}

// TestTree: children come before parents at a barrier, and a leaf may feed the output.
func TestTree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 0)
		root := r.a.nodes[0]
		child := r.a.AddNode(&recorder{name: "child", log: &r.log}, root, 1)
		for _, l := range []int{r.a.AddLeaf(child, 0), r.a.AddLeaf(root, 0), r.a.AddLeaf(nil, 0)} {
			r.edges = append(r.edges, r.a.AddInput(l))
		}
		r.run()
		r.send(0, data(1), barrier(1))
		r.send(1, data(2), barrier(1))
		r.send(2, data(3), Message{Chunk: chunk(4).WithSel([]int32{}), Meta: 5})
		r.saw("child 0:1", "op 1:1", "out 1", "op 0:2", "out 2", "out 3")
		r.send(2, barrier(1))
		r.saw("child |1", "op 1:-1", "out -1", "op |1", "out -1", "out |1", "ack 1")
	})
}

// TestCheckpoint: only a checkpoint carries state.
func TestCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.run()
		r.send(0, barrier(1), Message{Barrier: &stream.Barrier{Epoch: 2, Checkpoint: true}})
		a, b := r.acks[0], r.acks[1]
		if a.Delta != nil || a.Actor != 3 || a.Barrier.Epoch != 1 {
			t.Errorf("first acknowledgement is %+v", a)
		}
		if b.Delta == nil || len(b.Delta.Entries) != 1 || b.Stats != (state.Stats{Rows: 1, Bytes: 10, Loads: 2}) {
			t.Errorf("second acknowledgement is %+v", b)
		}
	})
}

// TestEvict: at a checkpoint that its job lets go of state at, an actor goes on only when the store has everything, with a new operator; if the
// checkpoint fails, with the old one. Other jobs do not wait.
func TestEvict(t *testing.T) {
	for _, c := range []struct {
		job  catalog.ID
		ok   bool
		want string
	}{{7, true, "new"}, {7, false, "op"}, {8, true, "op"}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.a.nodes[0].OnEvict(func(e stream.Epoch) (stream.Operator, error) {
				if e != 1 {
					t.Errorf("the operator begins anew at epoch %d", e)
				}
				return &recorder{name: "new", log: &r.log}, nil
			})
			r.run()
			ev := stream.NewEviction(c.job)
			r.send(0, Message{Barrier: &stream.Barrier{Epoch: 1, Checkpoint: true, Evict: ev}}, data(2))
			held := []string{"op |1", "out -1", "out |1", "ack 1"}
			if c.job != 7 {
				held = append(held, "op 0:2", "out 2")
			}
			r.saw(held...)
			ev.Done(c.ok)
			ev.Done(!c.ok)
			synctest.Wait()
			if c.job == 7 {
				r.saw(c.want+" 0:2", "out 2")
			}
			r.send(0, barrier(2))
			r.saw(c.want+" |2", "out -2", "out |2", "ack 2")
		})
	}
}

// TestEnd: a Stop barrier ends the run after its acknowledgement; an error and a panic end it with the actor's name.
func TestEnd(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name  string
		input Message
		want  func(error) bool
	}{
		{"stop", Message{Barrier: &stream.Barrier{Epoch: 1, Stop: true}}, func(err error) bool { return err == nil }},
		{"error", data(1), func(err error) bool { return errors.Is(err, boom) && strings.Contains(err.Error(), "job/1") }},
		{"panic", data(2), func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "job/1: panic: ouch") && strings.Contains(err.Error(), "OnDelta")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.op.fail[1], r.op.fail[2] = boom, "ouch"
				r.run()
				r.send(0, c.input)
				if err := <-r.ended; !c.want(err) {
					t.Errorf("Run gives %v", err)
				}
				if acked := len(r.acks) == 1; acked != (c.name == "stop") {
					t.Errorf("%d acknowledgements", len(r.acks))
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		r.a.Ready()
		cancel()
		if err := r.a.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run gives %v", err)
		}
	})
}

// blocked is an output that waits until it is let go.
type blocked struct{ free chan struct{} }

func (b blocked) Send(ctx context.Context, _ *delta.Chunk) error {
	select {
	case <-b.free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b blocked) Barrier(context.Context, *stream.Barrier, stream.Marks) error { return nil }

// TestBackPressure: when the output waits, senders come to wait for credits, and all go on when it goes on.
func TestBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		out := blocked{make(chan struct{})}
		r.a.SetOutput(out)
		r.run()
		sent := 0
		done := make(chan struct{})
		go func() { // the test waits for done
			defer close(done)
			for v := range int64(3 * credits) {
				if r.edges[0].Send(t.Context(), data(v)) != nil {
					return
				}
				sent++
			}
		}()
		synctest.Wait()
		if sent != credits { // one of them is in work and still has its credit
			t.Errorf("%d chunks were sent, want %d", sent, credits)
		}
		close(out.free)
		<-done
		r.send(0, Message{Barrier: &stream.Barrier{Epoch: 1, Stop: true}})
		if err := <-r.ended; err != nil || sent != 3*credits {
			t.Errorf("%d chunks were sent, %v", sent, err)
		}
	})
}
