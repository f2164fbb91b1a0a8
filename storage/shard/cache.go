package shard

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// Cache is what the shards of a process share: memory for blocks, open files, and the right to
// compact. Close it after the last shard.
type Cache struct {
	blocks      *pebble.Cache
	files       *pebble.FileCache
	compactions *compactions
}

// openFiles bounds the tables that are held open over all shards. Unit: file descriptors.
const openFiles = 4096

// NewCache makes a cache of so many bytes of uncompressed blocks; at most compactors shards compact
// at a time.
func NewCache(bytes int64, compactors int) *Cache {
	c := &Cache{
		blocks:      pebble.NewCache(bytes),
		files:       pebble.NewFileCache(4, openFiles),
		compactions: &compactions{},
	}
	c.compactions.idle = sync.NewCond(&c.compactions.mu)
	c.compactions.mu.limit = max(compactors, 1)
	return c
}

// Close frees the cache.
func (c *Cache) Close() {
	c.files.Unref()
	c.blocks.Unref()
}
