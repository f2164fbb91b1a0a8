package job

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// Layout says how a relation's rows lie in the store. Key: the key columns' encoding; for a bag the 128-bit
// hash of the image; for an append-only relation without a key a number. Value: for relations without a key
// the weight (8 bytes, little-endian); then the schema version (uvarint) and the image of all columns. An append-only
// relation without a key has many rows in a value, as a block, under the number of the first.
//
// A Layout is immutable but for scratch space: one per goroutine.
type Layout struct {
	Rel     *catalog.Relation
	Key     []row.KeyCol
	dist    []row.KeyCol
	types   []sqltypes.Type
	keyless bool
	single  uint16
	buf     []byte
	olds    map[uint64]oldLayout
}

// oldLayout reads images of an earlier schema version.
type oldLayout struct {
	types []sqltypes.Type
	to    []int // current column of each image column, −1: dropped
}

// NewLayout reads a relation's catalog record.
func NewLayout(rel *catalog.Relation) Layout {
	l := Layout{Rel: rel, types: rel.Types(), keyless: len(rel.Key) == 0}
	for _, k := range rel.Key {
		l.Key = append(l.Key, row.KeyCol{Col: k.Col, Desc: k.Desc, NullsFirst: k.NullsFirst})
	}
	switch {
	case len(rel.Dist) > 0:
		l.dist = row.Cols(rel.Dist...)
	case l.keyless:
		for i := range rel.Columns {
			l.dist = append(l.dist, row.KeyCol{Col: i})
		}
	default:
		l.single = SingletonVNode(rel.ID)
	}
	return l
}

// SingletonVNode is where a relation without a distribution key lies.
func SingletonVNode(id catalog.ID) uint16 {
	return uint16(key.Hash(binary.BigEndian.AppendUint32(nil, uint32(id))) % row.VNodes)
}

// VNode returns the vnode of row i.
func (l *Layout) VNode(vecs []*delta.Vec, i int) uint16 {
	if l.dist == nil {
		return l.single
	}
	l.buf = row.AppendKey(l.buf[:0], vecs, l.dist, i)
	return uint16(key.Hash(l.buf) % row.VNodes)
}

// AppendValue appends the stored value of row i.
func (l *Layout) AppendValue(dst []byte, vecs []*delta.Vec, i int, weight int64) []byte {
	dst = l.appendHead(dst, int(l.Rel.SchemaVersion), weight)
	return row.AppendImage(dst, vecs, nil, i)
}

// AppendImageValue is AppendValue for a row whose image is at hand.
func (l *Layout) AppendImageValue(dst, image []byte, weight int64) []byte {
	return append(l.appendHead(dst, int(l.Rel.SchemaVersion), weight), image...)
}

func (l *Layout) appendHead(dst []byte, version int, weight int64) []byte {
	if l.keyless {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(weight))
	}
	return binary.AppendUvarint(dst, uint64(version))
}

// olderForm lists the columns of an earlier schema version, by their places today; false when row i cannot have been
// written then, because a column is gone or one that was added is not NULL.
func (l *Layout) olderForm(version int, vecs []*delta.Vec, i int) ([]int, bool) {
	was := make([]bool, len(l.Rel.Columns))
	var cols []int
	for _, h := range l.Rel.History[version] {
		at := slices.IndexFunc(l.Rel.Columns, func(c catalog.Column) bool { return c.ID == h.ID })
		if at < 0 {
			return nil, false
		}
		cols, was[at] = append(cols, at), true
	}
	for c := range was {
		if !was[c] && !vecs[c].IsNull(i) {
			return nil, false
		}
	}
	return cols, true
}

// olderVNode returns the vnode of row i as it was written in an older form, whose columns olderForm gave: without a distribution key,
// all columns of that time were hashed.
func (l *Layout) olderVNode(cols []int, vecs []*delta.Vec, i int) uint16 {
	if len(l.Rel.Dist) > 0 || !l.keyless {
		return l.VNode(vecs, i)
	}
	l.buf = row.AppendKey(l.buf[:0], vecs, row.Cols(cols...), i)
	return uint16(key.Hash(l.buf) % row.VNodes)
}

// OlderKey returns where row i of a bag lies if it was written in the form of an earlier schema version, and its image; false when it cannot
// have been. The bytes are new.
func (l *Layout) OlderKey(version int, vecs []*delta.Vec, i int) (vnode uint16, k, image []byte, ok bool) {
	cols, ok := l.olderForm(version, vecs, i)
	if !ok {
		return 0, nil, nil, false
	}
	image = row.AppendImage(nil, vecs, cols, i)
	hi, lo := key.Hash128(image)
	k = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, hi), lo)
	return l.olderVNode(cols, vecs, i), k, image, true
}

// BagWeight returns how often a stored row of a bag is there.
func BagWeight(val []byte) int64 { return int64(binary.LittleEndian.Uint64(val)) }

// blockWeight stands in a stored value where it is a block of rows, each of weight one.
const blockWeight = math.MinInt64

// AppendBlock appends the stored value of many rows of a relation that numbers its rows.
func (l *Layout) AppendBlock(dst []byte, w *row.BlockWriter, vecs []*delta.Vec, rows []int32) []byte {
	return w.Append(l.appendHead(dst, int(l.Rel.SchemaVersion), blockWeight), vecs, rows)
}

// Decode appends the columns of a stored value to vecs, which has an entry per column of the relation, nil
// where the column is not wanted, and returns the row's weight. Columns added since the row was written are
// NULL (ADD COLUMN … DEFAULT rewrites rows).
func (l *Layout) Decode(val []byte, vecs []*delta.Vec) (weight int64, err error) {
	rows, weight, err := l.DecodeRows(val, vecs)
	if err == nil && rows != 1 {
		err = l.corrupt()
	}
	return weight, err
}

// DecodeRows is Decode of a value that may be a block: it returns how many rows it holds, and the weight that each of them has.
func (l *Layout) DecodeRows(val []byte, vecs []*delta.Vec) (rows int, weight int64, err error) {
	weight = 1
	if l.keyless {
		if len(val) < 8 {
			return 0, 0, l.corrupt()
		}
		weight = int64(binary.LittleEndian.Uint64(val))
		val = val[8:]
	}
	v, n := binary.Uvarint(val)
	if n <= 0 {
		return 0, 0, l.corrupt()
	}
	if l.keyless && weight == blockWeight {
		rows, err = l.decode(v, val[n:], vecs, row.DecodeBlock)
		return rows, 1, err
	}
	return 1, weight, l.DecodeImage(v, val[n:], vecs)
}

// DecodeImage appends the columns of an image of the given schema version to vecs, as Decode does.
func (l *Layout) DecodeImage(version uint64, image []byte, vecs []*delta.Vec) error {
	_, err := l.decode(version, image, vecs, decodeImage)
	return err
}

// decoder appends what b begins with to vecs, and returns how many rows that is.
type decoder func(b []byte, types []sqltypes.Type, vecs []*delta.Vec) (rows int, rest []byte, err error)

func decodeImage(b []byte, types []sqltypes.Type, vecs []*delta.Vec) (int, []byte, error) {
	rest, err := row.DecodeImage(b, types, vecs)
	return 1, rest, err
}

func (l *Layout) decode(version uint64, b []byte, vecs []*delta.Vec, f decoder) (rows int, err error) {
	if version == uint64(l.Rel.SchemaVersion) {
		rows, _, err = f(b, l.types, vecs)
		return rows, err
	}
	return l.decodeOld(version, b, vecs, f)
}

func (l *Layout) corrupt() error {
	return fmt.Errorf("decode row of relation %d: corrupt data", l.Rel.ID)
}

func (l *Layout) decodeOld(version uint64, b []byte, vecs []*delta.Vec, f decoder) (rows int, err error) {
	old, ok := l.olds[version]
	if !ok {
		if version >= uint64(len(l.Rel.History)) {
			return 0, l.corrupt()
		}
		for _, h := range l.Rel.History[version] {
			to := -1
			for i := range l.Rel.Columns {
				if l.Rel.Columns[i].ID == h.ID {
					to = i
				}
			}
			old.types, old.to = append(old.types, h.Type), append(old.to, to)
		}
		if l.olds == nil {
			l.olds = map[uint64]oldLayout{}
		}
		l.olds[version] = old
	}
	target := make([]*delta.Vec, len(old.types))
	filled := make([]bool, len(vecs))
	for i, to := range old.to {
		if to >= 0 {
			target[i], filled[to] = vecs[to], true
		}
	}
	if rows, _, err = f(b, old.types, target); err != nil {
		return 0, err
	}
	for i, v := range vecs {
		for range rows {
			if v != nil && !filled[i] {
				v.AppendNull()
			}
		}
	}
	return rows, nil
}

// DecodeRow returns a stored value as a chunk of one row.
func (l *Layout) DecodeRow(val []byte) (*delta.Chunk, error) {
	vecs := make([]*delta.Vec, len(l.types))
	for i, t := range l.types {
		vecs[i] = &delta.Vec{Type: t}
	}
	w, err := l.Decode(val, vecs)
	if err != nil {
		return nil, err
	}
	return delta.NewChunk(vecs, []int64{w}, 1), nil
}
