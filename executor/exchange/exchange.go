// Package exchange moves chunks from one actor to the actors of the next fragment: by the hash of a key, to
// all, or to one.
//
// The idea: within a process nothing is copied. A hash exchange computes one selection per target over the
// same columns; a barrier goes to every target.
//
// A dispatcher belongs to the sending actor's goroutine.
//
// It does not merge: the receiving actor's mailbox does (executor/actor). Start at Hash.
package exchange

import (
	"context"

	"github.com/millrace/millrace/executor/actor"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/row"
)

// Owner returns which of n actors owns a vnode: contiguous, nearly equal ranges.
func Owner(vnode uint16, n int) int { return int(vnode) * n / row.VNodes }

// Dispatcher sends chunks to one or several edges; it implements actor.Output.
type Dispatcher struct {
	edges  []*actor.Edge
	keys   []row.KeyCol // nil: every chunk to every edge
	batch  row.Batch
	single bool
}

// Hash spreads rows by the vnode of the given columns.
func Hash(edges []*actor.Edge, cols []int) *Dispatcher {
	return &Dispatcher{edges: edges, keys: row.Cols(cols...), single: len(edges) == 1}
}

// Broadcast sends every row to every edge; with one edge it is the singleton exchange.
func Broadcast(edges []*actor.Edge) *Dispatcher {
	return &Dispatcher{edges: edges, single: len(edges) == 1}
}

// Send implements actor.Output.
func (d *Dispatcher) Send(ctx context.Context, c *delta.Chunk) error {
	if d.single || d.keys == nil {
		for _, e := range d.edges {
			if err := e.Send(ctx, actor.Message{Chunk: c}); err != nil {
				return err
			}
		}
		return nil
	}
	d.batch.Fill(c, d.keys)
	parts := make([][]int32, len(d.edges))
	n := c.Len()
	for i := range parts {
		parts[i] = make([]int32, 0, n/len(parts)+n/8+4)
	}
	for k := range n {
		t := Owner(d.batch.VNode(k), len(d.edges))
		parts[t] = append(parts[t], int32(c.Row(k)))
	}
	for i, sel := range parts {
		if len(sel) == 0 {
			continue
		}
		if err := d.edges[i].Send(ctx, actor.Message{Chunk: c.WithSel(sel)}); err != nil {
			return err
		}
	}
	return nil
}

// Barrier implements actor.Output.
func (d *Dispatcher) Barrier(ctx context.Context, b *stream.Barrier, m stream.Marks) error {
	for _, e := range d.edges {
		if err := e.Send(ctx, actor.Message{Barrier: b, Marks: m}); err != nil {
			return err
		}
	}
	return nil
}

// Tee sends every chunk and every barrier to several outputs, which share the chunks. A barrier reaches all of them
// before later data reaches any, so outputs that come together again downstream cannot wait for each other for ever.
func Tee(outputs []actor.Output) actor.Output { return tee(outputs) }

type tee []actor.Output

// Send implements actor.Output.
func (t tee) Send(ctx context.Context, c *delta.Chunk) error {
	for _, o := range t {
		if err := o.Send(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Barrier implements actor.Output.
func (t tee) Barrier(ctx context.Context, b *stream.Barrier, m stream.Marks) error {
	for _, o := range t {
		if err := o.Barrier(ctx, b, m); err != nil {
			return err
		}
	}
	return nil
}
