// Package state holds everything that stream operators remember, in three containers: Map (key → one
// fixed-width value), MultiMap (key → rows with weights) and OrderedMap (rows in key order).
//
// The idea: the containers, not the operators, know about memory, dirtiness, the store and recovery. Keys
// are memcomparable bytes (equal values are equal bytes); values and rows lie in pointer-free arenas, so
// the garbage collector has nothing to scan, and indexes grow in small segments, so nothing stalls.
// A container starts complete (memory holds everything) when its table is new, else incomplete: a miss
// then asks the store, for whole batches of keys at a time.
//
// A container belongs to one actor and is not locked. What Flush hands out is copied and may be written by
// another goroutine while the actor goes on.
//
// Invariants: after Flush no entry is dirty; entries flushed and not yet committed are still found in
// memory, so a look-up never needs more than memory, then store. Weights may be negative inside an epoch.
//
// It does not encode rows (storage/row) and does not decide when to flush. Start at Map.
package state

import (
	"github.com/millrace/millrace/storage/change"
)

// Store is what a container falls back on: a view of the last committed checkpoint that never goes back.
type Store interface {
	// Get returns the value of a full key; the bytes are the caller's.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls f for each entry with lo ≤ key < hi in order; the bytes are valid during the call.
	// f returning false ends the scan.
	Scan(lo, hi []byte, f func(key, value []byte) bool) error
}

// Config says where a container lives.
type Config struct {
	// Table prefixes the container's keys in the store.
	Table uint32
	// Store is nil for a container whose table is new: it is complete from the start.
	Store Store
}

// Delta is a set of changes to the store: the dirty entries of a container, or of several.
type Delta = change.Set

// Stats are what a container holds.
type Stats struct {
	Rows  int // keys or rows in memory
	Bytes int // memory, indexes included
	Loads int // look-ups that went to the store
}

const (
	blockShift = 10 // slots per block
	blockSlots = 1 << blockShift
	blockMask  = blockSlots - 1
)
