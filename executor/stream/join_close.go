package stream

import (
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
)

// joinClose forgets the rows of a join whose key has a watermark on both sides, when the lower of them has passed the key:
// neither side can change there any more, so no pair, and no padding, can come or go.
//
// After a restart all rows are loaded at once: only keys that are still open are left.
type joinClose struct {
	sides [2]bucketClose
}

// bucketClose finds the buckets of one side.
type bucketClose struct {
	*closing
	rows   *state.MultiMap
	decode func(image []byte, vecs []*delta.Vec) error
	vecs   []*delta.Vec
}

// newJoinClose returns nil when no key has a watermark on both sides.
func newJoinClose(n *plan.Join, j *hashJoin) *joinClose {
	left, right, ok := plan.ClosingKey(n)
	if !ok {
		return nil
	}
	x := &joinClose{}
	for p, col := range []int{left, right} {
		s := &j.sides[p]
		x.sides[p] = newBucketClose(col, s.hashed, func(image []byte, vecs []*delta.Vec) error { return decodeImage(image, s.types, vecs) }, newVecs(s.types))
	}
	return x
}

func newBucketClose(col int, rows *state.MultiMap, decode func([]byte, []*delta.Vec) error, vecs []*delta.Vec) bucketClose {
	return bucketClose{newClosing([]int{col}), rows, decode, vecs}
}

// added notes a bucket that has got its first row, row i of c.
func (b *bucketClose) added(bucket uint32, c *delta.Chunk, i int) {
	if v := c.Cols[b.cols[0]]; !v.IsNull(i) {
		b.add(v.Ints[i], bucket)
	}
}

// value reads the watermark column of a bucket's first row; not ok: it has none, or no row.
func (b *bucketClose) value(bucket uint32) (v int64, ok bool, err error) {
	r := b.rows.First(bucket)
	if r == state.NoSlot {
		return 0, false, nil
	}
	clearVecs(b.vecs)
	if err := b.decode(b.rows.Image(r), b.vecs); err != nil {
		return 0, false, err
	}
	x := b.vecs[b.cols[0]]
	if x.IsNull(0) {
		return 0, false, nil
	}
	return x.Ints[0], true, nil
}

// load brings all rows into memory and notes their buckets.
func (b *bucketClose) load(owns func(uint16) bool) error {
	if err := b.rows.LoadAll(owns); err != nil {
		return err
	}
	var bad error
	b.rows.EachBucket(func(bucket uint32) {
		if v, ok, err := b.value(bucket); err != nil {
			bad = err
		} else if ok {
			b.add(v, bucket)
		}
	})
	return bad
}

// sweep clears the buckets that the watermark has passed. A bucket's number may have passed to another key meanwhile.
func (b *bucketClose) sweep() error {
	return b.due(func(at int64, buckets []uint32) error {
		for _, k := range buckets {
			if v, ok, err := b.value(k); err != nil {
				return err
			} else if ok && v == at {
				b.rows.Clear(k)
			}
		}
		return nil
	})
}

// OnWatermarks implements Watermarker.
func (j *hashJoin) OnWatermarks(port int, m Marks) {
	if j.close != nil {
		j.close.sides[port].set(m)
	}
	for p, x := range j.expire {
		if x != nil {
			x.set(p == port, m)
		}
	}
}

// closeKeys forgets what both watermarks have passed.
func (j *hashJoin) closeKeys() error {
	x := j.close
	if l, r := x.sides[0].takeMoved(), x.sides[1].takeMoved(); !l && !r {
		return nil
	}
	least := min(x.sides[0].marks[0], x.sides[1].marks[0])
	if least == NoMark {
		return nil
	}
	for p := range x.sides {
		if !j.sides[p].rows.Complete() {
			if err := x.sides[p].load(j.env.owns); err != nil {
				return err
			}
		}
		own := x.sides[p].marks[0]
		x.sides[p].marks[0] = least
		err := x.sides[p].sweep()
		x.sides[p].marks[0] = own
		if err != nil {
			return err
		}
	}
	return nil
}
