package cdc

import "sync/atomic"

// counter counts what the stream has touched. The reader adds; the goroutines that read pieces look.
type counter struct {
	n    atomic.Int64
	mark atomic.Int64
}

func (c *counter) add() int64    { return c.n.Add(1) }
func (c *counter) now() int64    { return c.n.Load() }
func (c *counter) void(n int64)  { c.mark.Store(n) }
func (c *counter) voided() int64 { return c.mark.Load() }
