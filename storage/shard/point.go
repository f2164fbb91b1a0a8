package shard

import (
	"bytes"
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// keptIterators is how many idle iterators a snapshot keeps for Get: about as many as reads run at a time.
const keptIterators = 8

// iterators are the idle iterators of a snapshot. Opening one takes several times as long as a seek. Each holds on to the
// tables that were there when it was opened, so those from before the last compaction are closed by the next Get.
type iterators struct {
	mu   sync.Mutex
	idle []*pebble.Iterator
	// born is the number of compactions that the shard had finished when the idle ones were opened.
	born uint64
}

// take returns an idle iterator, nil when there is none, and the age for put.
func (p *iterators) take(now uint64) *pebble.Iterator {
	p.mu.Lock()
	if p.born != now {
		old := p.idle
		p.idle, p.born = nil, now
		p.mu.Unlock()
		closeAll(old)
		return nil
	}
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	it := p.idle[n-1]
	p.idle = p.idle[:n-1]
	return it
}

// put keeps an iterator that take had returned, or that was opened, at the given age.
func (p *iterators) put(it *pebble.Iterator, born uint64) error {
	p.mu.Lock()
	if p.born == born && len(p.idle) < keptIterators {
		p.idle = append(p.idle, it)
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	return it.Close()
}

func (p *iterators) close() {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.mu.Unlock()
	closeAll(old)
}

func closeAll(its []*pebble.Iterator) {
	for _, it := range its {
		_ = it.Close() // its last seek has reported what was wrong
	}
}

// Get returns the value of a key, in a slice that the caller owns.
//
// Seeking by prefix, where the prefix is the whole key, asks the Bloom filters first.
func (v *Snapshot) Get(key []byte) (value []byte, ok bool, err error) {
	born := v.shard.compacted.Load()
	it := v.points.take(born)
	if it == nil {
		if it, err = v.snap.NewIter(nil); err != nil {
			return nil, false, v.wrap("read a key", err)
		}
	}
	if it.SeekPrefixGE(key) && bytes.Equal(it.Key(), key) {
		var b []byte
		if b, err = it.ValueAndErr(); err == nil {
			value, ok = append([]byte{}, b...), true
		}
	} else {
		err = it.Error()
	}
	if err != nil {
		_ = it.Close() // err is what it would say
		return nil, false, v.wrap("read a key", err)
	}
	return value, ok, v.wrap("read a key", v.points.put(it, born))
}
