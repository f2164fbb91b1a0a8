package batch

import (
	"context"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
)

// Block is a run of rows of a stored relation whose columns are made when they are asked for: a condition on a few of them is
// decided before the others cost anything.
type Block interface {
	// Len is the number of rows.
	Len() int
	// Weights are the rows' weights; nil: all one.
	Weights() []int64
	// Col returns the i-th wanted column of the rows sel, in that order; nil means all rows.
	Col(i int, sel []int32) *delta.Vec
	// Dict returns the distinct values of the i-th wanted column, and which of them each row has; nil where there is no such
	// list. The code of a NULL means nothing.
	Dict(i int) (values *delta.Vec, codes []uint8, valid []uint64)
}

// BlockIter is a stream of blocks that is pulled. It belongs to one goroutine.
type BlockIter interface {
	// Next returns the next block, nil at the end.
	Next(ctx context.Context) (Block, error)
	Close()
}

// BlockSource is implemented by Relations that can hand out a whole relation in blocks, to several readers.
type BlockSource interface {
	// Blocks yields the rows of a stored relation, reduced to the columns cols, shared out among n iterators.
	Blocks(ctx context.Context, table catalog.ID, cols []int, n int) ([]BlockIter, error)
}

// chunkBlock is a chunk without a selection as a Block.
type chunkBlock struct{ *delta.Chunk }

// BlockOf makes a block of a chunk.
func BlockOf(ch *delta.Chunk) Block { return chunkBlock{ch.Compact()} }

// Len implements Block.
func (b chunkBlock) Len() int { return b.Rows }

// Weights implements Block.
func (b chunkBlock) Weights() []int64 { return b.Chunk.Weights }

// Col implements Block.
func (b chunkBlock) Col(i int, sel []int32) *delta.Vec {
	if sel == nil {
		return b.Cols[i]
	}
	return b.Cols[i].Gather(sel)
}

// Dict implements Block.
func (b chunkBlock) Dict(int) (*delta.Vec, []uint8, []uint64) { return nil, nil, nil }
