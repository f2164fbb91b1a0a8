package stream

import (
	"encoding/binary"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
)

// Consolidator adds up the changes of an epoch by exact row and groups what remains by key. It keeps the
// chunks it was given until Reset.
type Consolidator struct {
	keyCols []row.KeyCol // nil: the key is the row's 128-bit hash
	chunks  []*delta.Chunk
	buf     []byte
	ents    []netEntry
	heads   []int32 // per hash bucket: entry index + 1 of the first entry of a key chain
	keys    []int32 // first entry of each key, in order of arrival
}

// netEntry is one distinct row; entries of one key form a chain through sameKey.
type netEntry struct {
	hash     uint64
	off      int32 // key, then image, in buf
	klen     int32
	ilen     int32
	chunk    int32
	row      int32
	nextHash int32 // next key in the hash bucket, +1 (first entries only)
	sameKey  int32 // next row of the key, +1
	weight   int64
}

// NetRow is a row whose weights in the epoch do not add up to 0.
type NetRow struct {
	Chunk  *delta.Chunk
	Row    int // physical row of Chunk
	Weight int64
	Image  []byte
}

// NewConsolidator groups by the given key columns; nil groups by whole row.
func NewConsolidator(keyCols []row.KeyCol) *Consolidator {
	return &Consolidator{keyCols: keyCols, heads: make([]int32, 64)}
}

// Len returns the number of distinct rows seen.
func (x *Consolidator) Len() int { return len(x.ents) }

// Add takes the rows of a chunk.
func (x *Consolidator) Add(c *delta.Chunk) {
	x.chunks = append(x.chunks, c)
	for k := range c.Len() {
		i := c.Row(k)
		x.add(c, i, c.Weight(i))
	}
}

func (x *Consolidator) add(c *delta.Chunk, i int, w int64) {
	off := len(x.buf)
	if x.keyCols != nil {
		x.buf = row.AppendKey(x.buf, c.Cols, x.keyCols, i)
	} else {
		x.buf = append(x.buf, make([]byte, 16)...)
	}
	img := len(x.buf)
	x.buf = row.AppendImage(x.buf, c.Cols, nil, i)
	if x.keyCols == nil {
		hi, lo := key.Hash128(x.buf[img:])
		binary.BigEndian.PutUint64(x.buf[off:], hi)
		binary.BigEndian.PutUint64(x.buf[off+8:], lo)
	}
	k := x.buf[off:img]
	hash := key.Hash(k)
	first := x.find(hash, k)
	if first >= 0 {
		image := x.buf[img:]
		last := first
		for e := first; e >= 0; e = x.ents[e].sameKey - 1 {
			if string(x.image(e)) == string(image) {
				x.ents[e].weight += w
				x.buf = x.buf[:off]
				return
			}
			last = e
		}
		x.ents[last].sameKey = int32(len(x.ents)) + 1
	}
	e := netEntry{hash: hash, off: int32(off), klen: int32(img - off), ilen: int32(len(x.buf) - img),
		chunk: int32(len(x.chunks) - 1), row: int32(i), weight: w}
	x.ents = append(x.ents, e)
	if first < 0 {
		x.link(int32(len(x.ents) - 1))
		x.keys = append(x.keys, int32(len(x.ents)-1))
	}
}

func (x *Consolidator) find(hash uint64, k []byte) int32 {
	for e := x.heads[hash&uint64(len(x.heads)-1)] - 1; e >= 0; e = x.ents[e].nextHash - 1 {
		if x.ents[e].hash == hash && string(x.key(e)) == string(k) {
			return e
		}
	}
	return -1
}

// link puts a key's first entry into the hash table, growing it to keep chains short.
func (x *Consolidator) link(e int32) {
	if len(x.keys) >= len(x.heads) {
		x.heads = make([]int32, 4*len(x.heads))
		for _, old := range x.keys {
			x.push(old)
		}
	}
	x.push(e)
}

func (x *Consolidator) push(e int32) {
	h := &x.heads[x.ents[e].hash&uint64(len(x.heads)-1)]
	x.ents[e].nextHash = *h
	*h = e + 1
}

func (x *Consolidator) key(e int32) []byte {
	n := &x.ents[e]
	return x.buf[n.off : n.off+n.klen]
}

func (x *Consolidator) image(e int32) []byte {
	n := &x.ents[e]
	return x.buf[n.off+n.klen : n.off+n.klen+n.ilen]
}

// Net calls f for each key that has rows of non-zero weight, in order of arrival of the keys, with those
// rows. Key, images and the slice are valid until Reset; the slice is reused.
func (x *Consolidator) Net(f func(key []byte, hash uint64, rows []NetRow) error) error {
	var rows []NetRow
	for _, first := range x.keys {
		rows = rows[:0]
		for e := first; e >= 0; e = x.ents[e].sameKey - 1 {
			if n := &x.ents[e]; n.weight != 0 {
				rows = append(rows, NetRow{x.chunks[n.chunk], int(n.row), n.weight, x.image(e)})
			}
		}
		if len(rows) == 0 {
			continue
		}
		if err := f(x.key(first), x.ents[first].hash, rows); err != nil {
			return err
		}
	}
	return nil
}

// Reset forgets everything; memory of ordinary size is kept.
func (x *Consolidator) Reset() {
	if len(x.heads) > 1<<16 || cap(x.buf) > 8<<20 {
		*x = *NewConsolidator(x.keyCols)
		return
	}
	clear(x.heads)
	x.chunks, x.buf, x.ents, x.keys = nil, x.buf[:0], x.ents[:0], x.keys[:0]
}
