package stream

import (
	"fmt"

	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// An operator's containers share one state table. Keys of groups begin with a NULL marker (0 to 2) or are
// empty; everything else begins with one of these, followed by a number where there are several.
const (
	tagImage    = 0x10 // group → image of the row that stands for it
	tagObject   = 0x11 // aggregate, group → state of variable size
	tagDistinct = 0x12 // argument list, group, value → weights
	tagValues   = 0x13 // aggregate, group, order, image → weight
)

// groupColumns gives back the columns of a group from its equality key. Where equal values can look
// different (1.0 and 1.00), the first row of the group stands for it, and its image is kept beside the key
// for as long as the group exists: what was emitted is what gets retracted.
type groupColumns struct {
	cols   []row.KeyCol
	idx    []int
	types  []sqltypes.Type
	images *state.OrderedMap // nil: the key says it all
	buf    []byte
}

func newGroupColumns(cols []int, in []sqltypes.Type, cfg state.Config) *groupColumns {
	g := &groupColumns{cols: row.Cols(cols...), idx: cols}
	for _, c := range cols {
		g.types = append(g.types, in[c])
		if !sqlio.KeyIsExact(in[c]) && g.images == nil {
			g.images = state.NewOrderedMap(cfg)
		}
	}
	return g
}

func (g *groupColumns) imageKey(k []byte) []byte {
	g.buf = append(append(g.buf[:0], tagImage), k...)
	return g.buf
}

// created takes note of a new group, whose first row is row i of c.
func (g *groupColumns) created(vnode uint16, k []byte, c *delta.Chunk, i int) error {
	if g.images == nil {
		return nil
	}
	at := g.imageKey(k)
	if err := g.images.Ensure(vnode, at); err != nil {
		return err
	}
	g.images.Put(vnode, at, row.AppendImage(nil, c.Cols, g.idx, i))
	return nil
}

// deleted forgets a group.
func (g *groupColumns) deleted(vnode uint16, k []byte) error {
	if g.images == nil {
		return nil
	}
	at := g.imageKey(k)
	if err := g.images.Ensure(vnode, at); err != nil {
		return err
	}
	g.images.Delete(at)
	return nil
}

// append adds the columns of a group to vecs.
func (g *groupColumns) append(vnode uint16, k []byte, vecs []*delta.Vec) error {
	if g.images == nil {
		return appendFromKey(k, vecs)
	}
	at := g.imageKey(k)
	if err := g.images.Ensure(vnode, at); err != nil {
		return err
	}
	image, ok := g.images.Get(at)
	if !ok {
		return fmt.Errorf("read group: its image is missing")
	}
	_, err := row.DecodeImage(image, g.types, vecs)
	return err
}

func (g *groupColumns) flush(d *state.Delta) {
	if g.images != nil {
		g.images.Flush(d)
	}
}

func (g *groupColumns) stats() state.Stats {
	if g.images == nil {
		return state.Stats{}
	}
	return g.images.Stats()
}

// appendFromKey decodes an ascending key of exact columns.
func appendFromKey(k []byte, vecs []*delta.Vec) error {
	for _, v := range vecs {
		null, rest, err := key.DecodeNull(k)
		if err != nil {
			return fmt.Errorf("decode group key: %w", err)
		}
		if null {
			v.AppendNull()
			k = rest
			continue
		}
		switch phys := v.Type.Phys(); {
		case sqlio.KeyHasOwnForm(v.Type):
			var d sqltypes.Datum
			d, k, err = sqlio.DecodeKey(v.Type, rest)
			v.AppendDatum(d)
		case phys == sqltypes.PhysInt64:
			var x int64
			x, k, err = key.DecodeInt64(rest)
			v.AppendInt(x)
		case phys == sqltypes.PhysBool:
			var x bool
			x, k, err = key.DecodeBool(rest)
			v.AppendBool(x)
		default:
			v.Data, k, err = key.DecodeBytes(rest, v.Data)
			v.EndRow()
		}
		if err != nil {
			return fmt.Errorf("decode group key: %w", err)
		}
	}
	return nil
}
