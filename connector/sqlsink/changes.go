// Package sqlsink holds what the sinks into SQL databases (connector/pgsink, connector/mysqlsink) share: their
// options, and how a chunk of changes becomes deletes by key and rows to put.
//
// The idea: within a chunk the last word on a key counts. An update, which is a delete and an insert of one key,
// is then a put alone, and the statements for deletes and puts touch different keys, so that their order does not
// matter and none touches a row twice.
//
// A Changes belongs to one goroutine.
//
// It speaks to no database. Start at Parse and Changes.
package sqlsink

import (
	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// Changes sorts out chunks of changes.
type Changes struct {
	key    []int // columns; nil: append-only
	force  bool
	byKey  map[string]int // place in rows
	rows   []change
	buf    []byte
	delete []int32
	put    []int32
}

type change struct {
	row int32
	put bool
}

// NewChanges returns the sorter for a sink.
func NewChanges(spec *connector.SinkSpec, o *Options) *Changes {
	x := &Changes{force: o.Force}
	if o.Upsert {
		x.key, x.byKey = spec.Key, map[string]int{}
	}
	return x
}

// Split returns the physical rows of c whose keys are to be deleted, and those to be put. A row is put as often as
// its weight says when there is no key. The slices are valid until the next call.
func (x *Changes) Split(c *delta.Chunk) (del, put []int32, err error) {
	x.delete, x.put = x.delete[:0], x.put[:0]
	if x.key == nil {
		err := x.appendOnly(c)
		return nil, x.put, err
	}
	clear(x.byKey)
	x.rows = x.rows[:0]
	for k := range c.Len() {
		i := c.Row(k)
		x.buf = x.buf[:0]
		for _, col := range x.key {
			if c.Cols[col].IsNull(i) {
				x.buf = append(x.buf, 0)
				continue
			}
			x.buf = sqlio.AppendKey(append(x.buf, 1), c.Cols[col], i)
		}
		now := change{int32(i), c.Weight(i) > 0}
		if at, seen := x.byKey[string(x.buf)]; seen {
			x.rows[at] = now
		} else {
			x.byKey[string(x.buf)] = len(x.rows)
			x.rows = append(x.rows, now)
		}
	}
	for _, r := range x.rows {
		if r.put {
			x.put = append(x.put, r.row)
		} else {
			x.delete = append(x.delete, r.row)
		}
	}
	return x.delete, x.put, nil
}

func (x *Changes) appendOnly(c *delta.Chunk) error {
	for k := range c.Len() {
		i := c.Row(k)
		w := c.Weight(i)
		if w < 0 && !x.force {
			return sqlerr.New(sqlerr.InvalidParameterValue, "append-only sink got a deleted row").
				WithHint("Use type = 'upsert', or force_append_only = 'true' to leave deletes out.")
		}
		for ; w > 0; w-- {
			x.put = append(x.put, int32(i))
		}
	}
	return nil
}
