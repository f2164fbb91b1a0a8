package batch

import (
	"bytes"
	"context"
	"slices"
	"sort"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	image "github.com/millrace/millrace/storage/row"
)

// asofJoin pairs each left row with the right row nearest in time. It sorts the right side by key and time and looks
// each left row up.
type asofJoin struct {
	q           *query
	n           *plan.AsofJoin
	left, right Operator
	rows        *collector
	held        holding
	leftKeys    []orderKey // the key, then the time
	rightKeys   []orderKey
	all         *delta.Chunk // the right side; nil: not read yet
	sorted      []asofEntry
	buf         []byte
}

// asofEntry is a right row: its key and time, and how much of that is the key.
type asofEntry struct {
	key    []byte
	prefix int
	row    int32
}

func newAsofJoin(q *query, n *plan.AsofJoin) (Operator, error) {
	left, err := q.buildPlain(n.Left)
	if err != nil {
		return nil, err
	}
	right, err := q.buildPlain(n.Right)
	if err != nil {
		return nil, err
	}
	lt, rt := plan.Types(n.Left), plan.Types(n.Right)
	j := &asofJoin{q: q, n: n, left: left, right: right, rows: newCollector(q, rt), held: holding{mem: q.mem},
		leftKeys:  append(partitionKeys(lt, n.LeftKeys), orderKey{col: n.LeftTime, class: classOf(lt[n.LeftTime]), desc: n.Later}),
		rightKeys: append(partitionKeys(rt, n.RightKeys), orderKey{col: n.RightTime, class: classOf(rt[n.RightTime]), desc: n.Later})}
	return j, nil
}

// Open implements Operator.
func (j *asofJoin) Open(ctx context.Context) error {
	if err := j.right.Open(ctx); err != nil {
		return err
	}
	return j.left.Open(ctx)
}

// Next implements ChunkIter.
func (j *asofJoin) Next(ctx context.Context) (*delta.Chunk, error) {
	if j.all == nil {
		if err := j.read(ctx); err != nil {
			return nil, err
		}
	}
	for {
		ch, err := j.left.Next(ctx)
		if err != nil || ch == nil {
			return nil, err
		}
		var l, r []int32
		for k := range ch.Len() {
			i := int32(ch.Row(k))
			p := j.partner(ch, int(i))
			if p >= 0 || j.n.Outer {
				l, r = append(l, i), append(r, p)
			}
		}
		if len(l) == 0 {
			continue
		}
		out := &delta.Chunk{Rows: len(l)}
		for _, v := range ch.Cols {
			out.Cols = append(out.Cols, v.Gather(l))
		}
		for _, v := range j.all.Cols {
			out.Cols = append(out.Cols, v.Gather(r))
		}
		return out, nil
	}
}

// read sorts the right side.
func (j *asofJoin) read(ctx context.Context) error {
	all, err := j.rows.collect(ctx, j.right)
	if err != nil {
		return err
	}
	j.all = all
	size := int64(all.SizeBytes())
	for i := range all.Rows {
		if i%4096 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := j.held.set(size); err != nil {
				return err
			}
		}
		if k, prefix, ok := j.key(nil, j.rightKeys, all, i); ok {
			j.sorted = append(j.sorted, asofEntry{k, prefix, int32(i)})
			size += int64(len(k)) + 56
		}
	}
	j.rows.release()
	slices.SortFunc(j.sorted, func(a, b asofEntry) int {
		if c := bytes.Compare(a.key, b.key); c != 0 {
			return c
		}
		return bytes.Compare(image.AppendImage(nil, all.Cols, nil, int(a.row)), image.AppendImage(nil, all.Cols, nil, int(b.row)))
	})
	return j.held.set(size)
}

// key encodes key and time of a row; a row in which one is NULL has no partner.
func (j *asofJoin) key(dst []byte, keys []orderKey, ch *delta.Chunk, i int) (k []byte, prefix int, ok bool) {
	for _, o := range keys {
		if ch.Cols[o.col].IsNull(i) {
			return dst, 0, false
		}
	}
	last := len(keys) - 1
	dst = appendSortKey(dst, keys[:last], ch.Cols, i, true)
	prefix = len(dst)
	return appendSortKey(dst, keys[last:], ch.Cols, i, true), prefix, true
}

// partner returns the right row for a left one, −1: there is none.
func (j *asofJoin) partner(ch *delta.Chunk, i int) int32 {
	k, prefix, ok := j.key(j.buf[:0], j.leftKeys, ch, i)
	j.buf = k
	if !ok {
		return -1
	}
	at := sort.Search(len(j.sorted), func(x int) bool {
		c := bytes.Compare(j.sorted[x].key, k)
		return c > 0 || c == 0 && j.n.Strict
	}) - 1
	if at < 0 || string(j.sorted[at].key[:j.sorted[at].prefix]) != string(k[:prefix]) {
		return -1
	}
	// The first of those at the same time.
	same := j.sorted[at].key
	at = sort.Search(at, func(x int) bool { return bytes.Compare(j.sorted[x].key, same) >= 0 })
	return j.sorted[at].row
}

// Close implements ChunkIter.
func (j *asofJoin) Close() {
	j.left.Close()
	j.right.Close()
	j.rows.release()
	j.held.release()
}
