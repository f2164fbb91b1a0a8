package batch

import (
	"context"
	"math"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// gatherChunk copies the rows idx (negative: NULLs) of cols into a chunk without weights. A nil column stays nil.
func gatherChunk(cols []*delta.Vec, idx []int32) *delta.Chunk {
	out := make([]*delta.Vec, len(cols))
	for i, v := range cols {
		if v != nil {
			out[i] = v.Gather(idx)
		}
	}
	return &delta.Chunk{Cols: out, Rows: len(idx)}
}

// gatherWeights picks the weights of idx; nil stays nil.
func gatherWeights(w []int64, idx []int32) []int64 {
	if w == nil {
		return nil
	}
	out := make([]int64, len(idx))
	for k, i := range idx {
		out[k] = w[i]
	}
	return out
}

// smallRows is the size below which chunks are merged before they are kept, so that thousands of tiny chunks do not
// cost more in headers than in values.
const smallRows = delta.BatchRows / 4

// collector keeps chunks until all of the input is there, then joins them to one.
type collector struct {
	types []sqltypes.Type
	kept  []*delta.Chunk
	small []*delta.Chunk // to be merged; they come after kept
	// smallLen is the number of rows in small, rows that of all.
	smallLen, rows int
	held           holding
}

func newCollector(q *query, types []sqltypes.Type) *collector {
	return &collector{types: types, held: holding{mem: q.mem}}
}

// add keeps the rows of ch that count.
func (c *collector) add(ch *delta.Chunk) error {
	n := ch.Len()
	if n == 0 {
		return nil
	}
	if c.rows+n > math.MaxInt32 {
		return sqlerr.New(sqlerr.ProgramLimitExceeded, "query needs more than %d rows in memory", math.MaxInt32)
	}
	c.rows += n
	if n >= smallRows && !ch.Sparse() {
		if err := c.mergeSmall(); err != nil {
			return err
		}
		c.kept = append(c.kept, ch)
		return c.held.set(c.held.bytes + int64(ch.SizeBytes()))
	}
	c.small = append(c.small, ch)
	c.smallLen += n
	if c.smallLen >= delta.BatchRows || len(c.small) >= 256 {
		return c.mergeSmall()
	}
	return nil
}

func (c *collector) mergeSmall() error {
	if len(c.small) == 0 {
		return nil
	}
	ch, err := concat(context.Background(), c.types, c.small, c.smallLen) // a few thousand rows
	if err != nil {
		return err
	}
	c.kept = append(c.kept, ch)
	c.small, c.smallLen = nil, 0
	return c.held.set(c.held.bytes + int64(ch.SizeBytes()))
}

// finish returns all rows as one chunk without a selection, and forgets them. The memory stays accounted for
// until release.
func (c *collector) finish(ctx context.Context) (*delta.Chunk, error) {
	if err := c.mergeSmall(); err != nil {
		return nil, err
	}
	if len(c.kept) == 1 {
		ch := c.kept[0].Compact()
		c.kept, c.rows = nil, 0
		return ch, nil
	}
	ch, err := concat(ctx, c.types, c.kept, c.rows)
	if err != nil {
		return nil, err
	}
	c.kept, c.rows = nil, 0
	return ch, c.held.set(int64(ch.SizeBytes()))
}

// release forgets the rows and gives their memory back.
func (c *collector) release() {
	if c != nil {
		c.kept, c.small = nil, nil
		c.held.release()
	}
}

// collect drains op into one chunk.
func (c *collector) collect(ctx context.Context, op Operator) (*delta.Chunk, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		ch, err := op.Next(ctx)
		if err != nil {
			return nil, err
		}
		if ch == nil {
			return c.finish(ctx)
		}
		if err := c.add(ch); err != nil {
			return nil, err
		}
	}
}

// concat joins chunks of n rows in all to one chunk. Columns that are nil in a chunk are nil in the result.
func concat(ctx context.Context, types []sqltypes.Type, chunks []*delta.Chunk, n int) (*delta.Chunk, error) {
	out := &delta.Chunk{Cols: make([]*delta.Vec, len(types)), Rows: n}
	for i, t := range types {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := concatCol(t, chunks, i, n)
		if err != nil {
			return nil, err
		}
		out.Cols[i] = v
	}
	for _, ch := range chunks {
		if ch.Weights != nil {
			out.Weights = concatWeights(chunks, n)
			break
		}
	}
	return out, nil
}

func concatWeights(chunks []*delta.Chunk, n int) []int64 {
	out := make([]int64, 0, n)
	for _, ch := range chunks {
		for k := range ch.Len() {
			out = append(out, ch.Weight(ch.Row(k)))
		}
	}
	return out
}

func concatCol(t sqltypes.Type, chunks []*delta.Chunk, col, n int) (*delta.Vec, error) {
	if t.Phys() == sqltypes.PhysBytes {
		return concatBytes(t, chunks, col, n)
	}
	out := delta.NewVec(t, n)
	at := 0
	for _, ch := range chunks {
		v, m := ch.Cols[col], ch.Len()
		switch t.Phys() {
		case sqltypes.PhysBool:
			place(out.Bools[at:at+m], v.Bools, ch.Sel)
		case sqltypes.PhysInt64:
			place(out.Ints[at:at+m], v.Ints, ch.Sel)
		case sqltypes.PhysFloat64:
			place(out.Floats[at:at+m], v.Floats, ch.Sel)
		case sqltypes.PhysNumeric:
			place(out.Decs[at:at+m], v.Decs, ch.Sel)
		case sqltypes.PhysInterval:
			place(out.Intervals[at:at+m], v.Intervals, ch.Sel)
		}
		placeNulls(out, at, v, ch)
		at += m
	}
	return out, nil
}

func concatBytes(t sqltypes.Type, chunks []*delta.Chunk, col, n int) (*delta.Vec, error) {
	size := 0
	for _, ch := range chunks {
		v := ch.Cols[col]
		if ch.Sel == nil {
			size += int(v.Offsets[ch.Rows] - v.Offsets[0])
			continue
		}
		for _, i := range ch.Sel {
			size += int(v.Offsets[i+1] - v.Offsets[i])
		}
	}
	if size > math.MaxInt32 {
		return nil, sqlerr.New(sqlerr.ProgramLimitExceeded, "query needs more than %d bytes of one column in memory",
			math.MaxInt32)
	}
	out := delta.BytesVec(t, make([]int32, n+1), make([]byte, 0, size))
	at := 0
	for _, ch := range chunks {
		v := ch.Cols[col]
		if ch.Sel == nil {
			shift := int32(len(out.Data)) - v.Offsets[0]
			out.Data = append(out.Data, v.Data[v.Offsets[0]:v.Offsets[ch.Rows]]...)
			for i := 1; i <= ch.Rows; i++ {
				out.Offsets[at+i] = v.Offsets[i] + shift
			}
		} else {
			for k, i := range ch.Sel {
				out.Data = append(out.Data, v.Data[v.Offsets[i]:v.Offsets[i+1]]...)
				out.Offsets[at+k+1] = int32(len(out.Data))
			}
		}
		placeNulls(out, at, v, ch)
		at += ch.Len()
	}
	return out, nil
}

func place[T any](dst, src []T, sel []int32) {
	if sel == nil {
		copy(dst, src)
		return
	}
	for k, i := range sel {
		dst[k] = src[i]
	}
}

func placeNulls(out *delta.Vec, at int, v *delta.Vec, ch *delta.Chunk) {
	if !v.HasNulls() {
		return
	}
	for k := range ch.Len() {
		if v.IsNull(ch.Row(k)) {
			out.SetNull(at + k)
		}
	}
}

// sliceChunk returns rows lo…hi-1 of a chunk without selection; lo is a multiple of 64. Nil columns stay nil. Fixed-width
// values are shared, bytes columns get offsets of their own, so that their size is that of the slice.
func sliceChunk(ch *delta.Chunk, lo, hi int) *delta.Chunk {
	if lo == 0 && hi == ch.Rows {
		return ch
	}
	out := &delta.Chunk{Cols: make([]*delta.Vec, len(ch.Cols)), Rows: hi - lo}
	for i, v := range ch.Cols {
		if v != nil {
			out.Cols[i] = sliceVec(v, lo, hi)
		}
	}
	if ch.Weights != nil {
		out.Weights = ch.Weights[lo:hi:hi]
	}
	return out
}

func sliceVec(v *delta.Vec, lo, hi int) *delta.Vec {
	out := &delta.Vec{Type: v.Type, Same: v.Same}
	switch v.Type.Phys() {
	case sqltypes.PhysBool:
		out.Bools = v.Bools[lo:hi:hi]
	case sqltypes.PhysInt64:
		out.Ints = v.Ints[lo:hi:hi]
	case sqltypes.PhysFloat64:
		out.Floats = v.Floats[lo:hi:hi]
	case sqltypes.PhysNumeric:
		out.Decs = v.Decs[lo:hi:hi]
	case sqltypes.PhysInterval:
		out.Intervals = v.Intervals[lo:hi:hi]
	case sqltypes.PhysBytes:
		base := v.Offsets[lo]
		out.Offsets = make([]int32, hi-lo+1)
		for i := range out.Offsets {
			out.Offsets[i] = v.Offsets[lo+i] - base
		}
		out.Data = v.Data[base:v.Offsets[hi]:v.Offsets[hi]]
	}
	if v.Valid != nil {
		end := (hi + 63) / 64
		out.Valid = v.Valid[lo/64 : end : end]
	}
	out.SetLen(hi - lo)
	return out
}

// nullChunk returns n rows of NULLs.
func nullChunk(types []sqltypes.Type, n int) *delta.Chunk {
	out := &delta.Chunk{Cols: make([]*delta.Vec, len(types)), Rows: n}
	for i, t := range types {
		out.Cols[i] = nullVec(t, n)
	}
	return out
}

func nullVec(t sqltypes.Type, n int) *delta.Vec {
	v := delta.NewVec(t, n)
	v.Valid = make([]uint64, (n+63)/64)
	return v
}

// nonNil turns the selection of no rows into one that is not mistaken for that of all rows.
func nonNil(sel []int32) []int32 {
	if sel == nil {
		return []int32{}
	}
	return sel
}
