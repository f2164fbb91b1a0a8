package table

import (
	"bytes"
	"sync"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/storage/column"
	"github.com/millrace/millrace/storage/key"
)

// columns is where a relation's image is put as long as its base does not change. Views that read an older base keep the
// columns of that.
type columns struct {
	mu    sync.Mutex
	image *column.Image
	dead  bool
}

// maxTouched is the most changes whose keys are compared with an image; more change all of it.
const maxTouched = 10_000

// without returns the columns of the next base, in which the keys of the layers have changed.
func (c *columns) without(changed []*Layer) *columns {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := &columns{}
	n := 0
	for _, l := range changed {
		n += l.Delta.Len()
	}
	if c.image != nil && n <= maxTouched {
		next.image = c.image.Without(func(r key.Range) bool { return touched(changed, r.Lo, r.Hi) })
	} else if c.image != nil {
		c.image.Drop()
	}
	c.dead = true
	return next
}

func (c *columns) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.image != nil {
		c.image.Drop()
	}
	c.dead = true
}

// touched reports whether a layer has a key with lo ≤ key < hi.
func touched(layers []*Layer, lo, hi []byte) bool {
	for _, l := range layers {
		if i := l.seek(lo); i < len(l.sorted()) && bytes.Compare(l.key(l.sorted()[i]), hi) < 0 {
			return true
		}
	}
	return false
}

// partBytes is about how much of the store one part of an image covers, and maxParts how many there are at most.
const (
	partBytes = 512 << 10
	maxParts  = 64
)

// Image returns the columns in memory of a relation as of the view's base, without what Touched tells of; nil: read without.
func (v *View) Image(id catalog.ID, schema int) *column.Image {
	c := v.cols[id]
	if c == nil {
		return nil
	}
	if m, ok := c.get(schema); ok {
		return m
	}
	m := column.NewImage(v.store.images, schema, v.ranges(id))
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.image != nil && c.image.Schema == schema:
		return c.image // somebody was faster
	case c.image != nil:
		c.image.Drop()
	}
	c.image = m
	return m
}

// get returns the image of a schema version; false when it is to be made.
func (c *columns) get(schema int) (*column.Image, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.image != nil && c.image.Schema >= schema {
		if c.image.Schema > schema {
			return nil, true
		}
		return c.image, true
	}
	return nil, c.dead
}

// ranges cuts a relation at vnodes, into pieces that are worth the while of one core.
func (v *View) ranges(id catalog.ID) []key.Range {
	all := key.TableRange(uint32(id))
	n := min(v.base.snap.Size(all.Lo, all.Hi)/partBytes+1, maxParts)
	var out []key.Range
	at := all.Lo
	for k := range n {
		hi := all.Hi
		if k < n-1 {
			hi = key.AppendPrefix(nil, uint32(id), uint16(key.VNodes*(k+1)/n))
		}
		out = append(out, key.Range{Lo: at, Hi: hi})
		at = hi
	}
	return out
}

// Touched reports whether rows with lo ≤ key < hi have changed since the view's base.
func (v *View) Touched(id catalog.ID, lo, hi []byte) bool { return touched(v.layers[id], lo, hi) }

// Rows guesses how many rows a relation has.
func (v *View) Rows(id catalog.ID) float64 {
	rows := 0.0
	for _, l := range v.layers[id] {
		rows += float64(l.Rows)
	}
	if c := v.cols[id]; c != nil {
		if n, exact := c.rows(); exact {
			return rows + float64(n)
		}
	}
	all := key.TableRange(uint32(id))
	return rows + float64(v.base.snap.Size(all.Lo, all.Hi)/guessedRow)
}

// guessedRow is what a row is taken to need on disk when nobody has counted. Unit: bytes.
const guessedRow = 64

func (c *columns) rows() (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.image == nil {
		return 0, false
	}
	return c.image.Rows()
}
