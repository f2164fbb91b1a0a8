// Package delta is how data moves through Millrace: batches of signed row changes (Z-sets).
//
// The idea: a Chunk is columns plus a weight per row. Insert is +1, delete is −1, an update is −old and
// +new; adding up the weights of equal rows over a stream gives the relation's contents. Order inside an
// epoch has no meaning. A selection vector makes filters and exchanges free of copying.
//
// Chunks are immutable once handed on, live on the Go heap and need no release; any goroutine may read
// them. Weights inside an epoch may be negative in sum; at an epoch's end no row's is.
//
// It does not evaluate expressions (internal/expr) and does not know about barriers (executor/actor).
// Start at Chunk.
package delta

import (
	"slices"

	"github.com/millrace/millrace/internal/invariant"
	"github.com/millrace/millrace/internal/sqltypes"
)

// BatchRows is the number of rows producers aim for in a chunk.
const BatchRows = 2048

// Chunk is a batch of row changes. All columns have Rows rows; Sel picks and orders those that count.
type Chunk struct {
	Cols []*Vec
	// Weights has one entry per physical row; nil means that every row has weight +1.
	Weights []int64
	// Sel lists the rows that count, each at most once; nil means all of them.
	Sel []int32
	// Rows is the number of physical rows (needed for chunks without columns).
	Rows int
}

// NewChunk makes a chunk over whole columns of n rows.
func NewChunk(cols []*Vec, weights []int64, n int) *Chunk {
	for _, c := range cols {
		invariant.Check(c.n == n, "column has a different number of rows from its chunk")
	}
	return &Chunk{Cols: cols, Weights: weights, Rows: n}
}

// Len returns the number of rows that count.
func (c *Chunk) Len() int {
	if c.Sel != nil {
		return len(c.Sel)
	}
	return c.Rows
}

// Row maps the k-th row that counts to its physical index.
func (c *Chunk) Row(k int) int {
	if c.Sel != nil {
		return int(c.Sel[k])
	}
	return k
}

// Weight returns the weight of physical row i.
func (c *Chunk) Weight(i int) int64 {
	if c.Weights == nil {
		return 1
	}
	return c.Weights[i]
}

// RowList lists the physical rows that count, materialised when all of them do.
func (c *Chunk) RowList() []int32 {
	if c.Sel != nil {
		return c.Sel
	}
	all := make([]int32, c.Rows)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// WithSel returns the same rows under another selection.
func (c *Chunk) WithSel(sel []int32) *Chunk {
	return &Chunk{Cols: c.Cols, Weights: c.Weights, Sel: sel, Rows: c.Rows}
}

// WithCols returns a chunk of the same rows and weights with other columns.
func (c *Chunk) WithCols(cols []*Vec) *Chunk {
	return &Chunk{Cols: cols, Weights: c.Weights, Sel: c.Sel, Rows: c.Rows}
}

// Compact returns an equal chunk without a selection vector. Rows are copied when there was one.
func (c *Chunk) Compact() *Chunk {
	if c.Sel == nil {
		return c
	}
	out := &Chunk{Cols: make([]*Vec, len(c.Cols)), Rows: len(c.Sel)}
	for i, v := range c.Cols {
		out.Cols[i] = v.Gather(c.Sel)
	}
	if c.Weights != nil {
		out.Weights = gather(c.Weights, c.Sel)
	}
	return out
}

// Sparse reports whether so few rows count that compacting pays.
func (c *Chunk) Sparse() bool { return c.Sel != nil && len(c.Sel)*4 < c.Rows }

// Negate returns the chunk with every weight's sign turned.
func (c *Chunk) Negate() *Chunk {
	w := make([]int64, c.Rows)
	for i := range w {
		w[i] = -c.Weight(i)
	}
	return &Chunk{Cols: c.Cols, Weights: w, Sel: c.Sel, Rows: c.Rows}
}

// SizeBytes estimates the memory held, for accounting and credits.
func (c *Chunk) SizeBytes() int {
	n := 8*len(c.Weights) + 4*len(c.Sel)
	for _, v := range c.Cols {
		n += v.SizeBytes()
	}
	return n
}

// Types lists the column types.
func (c *Chunk) Types() []sqltypes.Type {
	ts := make([]sqltypes.Type, len(c.Cols))
	for i, v := range c.Cols {
		ts[i] = v.Type
	}
	return ts
}

// Builder collects rows into a chunk, column by column or from rows of other chunks.
type Builder struct {
	types   []sqltypes.Type
	cols    []*Vec
	weights []int64
	mixed   bool // some weight is not +1
	n       int
	// The last chunk had so many rows and bytes of data per column: the next one is given room for as much when its first row comes.
	lastRows  int
	lastBytes []int
}

// NewBuilder returns a builder of chunks with columns of the given types.
func NewBuilder(types []sqltypes.Type) *Builder {
	b := &Builder{types: types}
	b.reset()
	return b
}

func (b *Builder) reset() {
	b.cols = make([]*Vec, len(b.types))
	for i, t := range b.types {
		b.cols[i] = &Vec{Type: t}
		if t.Phys() == sqltypes.PhysBytes {
			b.cols[i].Offsets = append(make([]int32, 0, 64), 0)
		}
	}
	b.weights, b.mixed, b.n = nil, false, 0
}

// Len returns the number of rows collected.
func (b *Builder) Len() int { return b.n }

// Col gives access to a column for appending; append to every column, then call EndRow.
func (b *Builder) Col(i int) *Vec {
	b.makeRoom()
	return b.cols[i]
}

// fewRows is how many rows a chunk must have had for the next one to be given room beforehand.
const fewRows = 64

// makeRoom gives the columns the room that the last chunk took, so that they do not grow from nothing step by step.
func (b *Builder) makeRoom() {
	if b.lastRows < fewRows {
		return
	}
	n := b.lastRows
	b.lastRows = 0
	for i, v := range b.cols {
		v.Room(n, b.lastBytes[i]+b.lastBytes[i]/16)
	}
	b.weights = make([]int64, 0, n)
}

// EndRow completes a row whose columns were appended one by one.
func (b *Builder) EndRow(weight int64) {
	b.weights = append(b.weights, weight)
	b.mixed = b.mixed || weight != 1
	b.n++
}

// EndRows completes n rows whose columns were appended, all of one weight.
func (b *Builder) EndRows(n int, weight int64) {
	b.weights = slices.Grow(b.weights, n)
	for range n {
		b.weights = append(b.weights, weight)
	}
	b.mixed = b.mixed || weight != 1
	b.n += n
}

// AppendRow appends row i (physical) of c with the given weight.
func (b *Builder) AppendRow(c *Chunk, i int, weight int64) {
	b.makeRoom()
	for k, v := range b.cols {
		v.AppendFrom(c.Cols[k], i)
	}
	b.EndRow(weight)
}

// AppendDatums appends a boxed row.
func (b *Builder) AppendDatums(row []sqltypes.Datum, weight int64) {
	b.makeRoom()
	for k, v := range b.cols {
		v.AppendDatum(row[k])
	}
	b.EndRow(weight)
}

// Take returns the rows collected and starts anew; nil when there are none.
func (b *Builder) Take() *Chunk {
	if b.n == 0 {
		return nil
	}
	c := &Chunk{Cols: b.cols, Rows: b.n}
	if b.mixed {
		c.Weights = b.weights
	}
	if b.lastRows = b.n; b.n >= fewRows {
		b.lastBytes = b.lastBytes[:0]
		for _, v := range b.cols {
			b.lastBytes = append(b.lastBytes, len(v.Data))
		}
	}
	b.reset()
	return c
}
