// Package column keeps columns of relations in memory, packed, so that a query that reads many rows of few columns need not
// decode whole rows again.
//
// The idea: rows lie in the store by key; that is right for changes and look-ups and slow for scans. An Image is the copy by columns of
// one relation as of one base (see storage/table): ranges of keys, each with blocks of rows, each with those
// columns that somebody has asked for. It is a cache and nothing else: made while a scan reads rows anyway, dropped part by part
// when a checkpoint changes rows, and thrown out, the longest unused first, when it is larger than its budget.
// A copy that is kept on disk would come behind the same Part.
//
// Integers, dates and numerics of one scale are differences from a block's smallest value, in as few bytes as the largest needs;
// strings with few distinct values are a dictionary and a byte a row; everything else is as in delta.Vec.
//
// Blocks and columns are immutable. Image, Part and Cache may be used by any goroutine.
//
// Invariants: the blocks of a part hold exactly the rows of its key range at the image's base; a part that is dead is
// never filled again.
//
// It reads no rows itself (internal/engine does). Start at Image and Pack.
package column

import (
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/storage/key"
)

// Block is a run of rows.
type Block struct {
	Rows    int
	Weights []int64 // nil: all one
	Cols    []*Col  // by column of the relation; nil: nobody has asked for it yet
}

// Image is a relation by columns.
type Image struct {
	// Schema is the relation's schema version that the columns belong to.
	Schema int
	Parts  []*Part
}

// Part is one range of keys.
type Part struct {
	Range key.Range
	cache *Cache
	// Fill is held by whoever makes blocks; others do without meanwhile.
	Fill   sync.Mutex
	blocks atomic.Pointer[[]*Block]
	used   atomic.Int64 // the cache's clock when last read

	bytes int64 // guarded by cache.mu
	dead  bool  // guarded by cache.mu
}

// NewImage returns an image without rows.
func NewImage(c *Cache, schema int, ranges []key.Range) *Image {
	m := &Image{Schema: schema}
	for _, r := range ranges {
		m.Parts = append(m.Parts, &Part{Range: r, cache: c})
	}
	return m
}

// Blocks returns the rows of the part if all of the columns are there.
func (p *Part) Blocks(cols []int) ([]*Block, bool) {
	bs := p.blocks.Load()
	if bs == nil {
		return nil, false
	}
	for _, b := range *bs {
		for _, c := range cols {
			if b.Cols[c] == nil {
				return nil, false
			}
		}
	}
	p.used.Store(p.cache.clock.Add(1))
	return *bs, true
}

// Known returns the part's blocks whatever columns they have; nil when there are none.
func (p *Part) Known() []*Block {
	if bs := p.blocks.Load(); bs != nil {
		return *bs
	}
	return nil
}

// Set gives the part its rows, or the same rows with more columns. The caller holds Fill.
func (p *Part) Set(blocks []*Block) {
	n := int64(0)
	for _, b := range blocks {
		n += b.SizeBytes()
	}
	p.cache.put(p, blocks, n)
}

// SizeBytes is what the block takes in memory.
func (b *Block) SizeBytes() int64 {
	n := int64(64 + 8*len(b.Weights) + 8*len(b.Cols))
	for _, c := range b.Cols {
		if c != nil {
			n += c.SizeBytes()
		}
	}
	return n
}

// Without returns an image that shares the parts in whose range no changed key lies, and has the others without rows; nil
// when nothing would be left.
func (m *Image) Without(changed func(r key.Range) bool) *Image {
	out := &Image{Schema: m.Schema, Parts: make([]*Part, len(m.Parts))}
	kept := 0
	for i, p := range m.Parts {
		if changed(p.Range) {
			p.Drop()
			out.Parts[i] = &Part{Range: p.Range, cache: p.cache}
		} else {
			out.Parts[i] = p
			kept++
		}
	}
	if kept == 0 {
		return nil
	}
	return out
}

// Drop forgets all rows for good; scans under way keep what they have.
func (m *Image) Drop() {
	for _, p := range m.Parts {
		p.Drop()
	}
}

// Drop forgets the part's rows for good.
func (p *Part) Drop() { p.cache.drop(p) }

// Rows is the number of rows in the image, exact when all of its parts have been read.
func (m *Image) Rows() (n int64, exact bool) {
	exact = true
	for _, p := range m.Parts {
		bs := p.blocks.Load()
		if bs == nil {
			exact = false
			continue
		}
		for _, b := range *bs {
			n += int64(b.Rows)
		}
	}
	return n, exact
}

// Distinct guesses how many values a column has, from the bounds of its numbers and the lengths of its dictionaries; 0: nobody
// knows.
func (m *Image) Distinct(col int) float64 {
	lo, hi, most, found := int64(0), int64(0), 0, false
	for _, p := range m.Parts {
		for _, b := range p.Known() {
			c := b.Cols[col]
			if c == nil {
				continue
			}
			if values, _ := c.Dict(); values != nil {
				most = max(most, values.Len())
			} else if l, h, ok := c.Bounds(); ok {
				if !found {
					lo, hi, found = l, h, true
				}
				lo, hi = min(lo, l), max(hi, h)
			}
		}
	}
	if found {
		return float64(hi) - float64(lo) + 1
	}
	return float64(most)
}

// Cache bounds what all images together hold.
type Cache struct {
	limit int64
	clock atomic.Int64
	mu    struct {
		sync.Mutex
		parts map[*Part]struct{} // those with rows
		bytes int64
	}
}

// NewCache returns a cache of at most limit bytes.
func NewCache(limit int64) *Cache {
	c := &Cache{limit: limit}
	c.mu.parts = map[*Part]struct{}{}
	return c
}

// Bytes is what the cache holds.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.bytes
}

func (c *Cache) put(p *Part, blocks []*Block, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.dead || bytes > c.limit/2 {
		return
	}
	p.used.Store(c.clock.Add(1))
	c.mu.bytes += bytes - p.bytes
	p.bytes = bytes
	p.blocks.Store(&blocks)
	c.mu.parts[p] = struct{}{}
	for c.mu.bytes > c.limit {
		c.evict(p)
	}
}

// evict throws out the part that has not been read for longest, except keep; c.mu is held.
func (c *Cache) evict(keep *Part) {
	var oldest *Part
	for p := range c.mu.parts {
		if p != keep && (oldest == nil || p.used.Load() < oldest.used.Load()) {
			oldest = p
		}
	}
	if oldest == nil {
		oldest = keep
	}
	c.remove(oldest)
}

func (c *Cache) remove(p *Part) {
	c.mu.bytes -= p.bytes
	p.bytes = 0
	p.blocks.Store(nil)
	delete(c.mu.parts, p)
}

func (c *Cache) drop(p *Part) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.dead = true
	c.remove(p)
}
