package batch

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/internal/delta"
)

// sortRun is the number of rows that are sorted at a time; sorted runs are then merged. A run takes a few
// milliseconds, and between runs the context is asked.
const sortRun = 1 << 14

// sortEntry is one row to be sorted: the first sixteen bytes of its key as two numbers, zero padded, and the row.
type sortEntry struct {
	hi, lo uint64
	row    int32
}

// prefixBytes is the part of a key that stands in its entry.
const prefixBytes = 16

// sortKeys are the encoded keys of all rows; nil when every key fits into a prefix.
type sortKeys struct {
	data []byte
	ends []uint64
}

func (s *sortKeys) at(row int32) []byte {
	start := uint64(0)
	if row > 0 {
		start = s.ends[row-1]
	}
	return s.data[start:s.ends[row]]
}

// compare orders two rows; equal keys stay in the order of their rows, which makes the sort stable.
func (s *sortKeys) compare(a, b sortEntry) int {
	if a.hi != b.hi {
		return cmp.Compare(a.hi, b.hi)
	}
	if a.lo != b.lo {
		return cmp.Compare(a.lo, b.lo)
	}
	if s != nil { // equal prefixes of short keys are equal keys, since no key is the beginning of another
		if c := bytes.Compare(s.at(a.row), s.at(b.row)); c != 0 {
			return c
		}
	}
	return int(a.row - b.row)
}

// sortRows returns the rows of ch, which has no selection, in the order of keys. The memory for the keys is taken
// from the budget for the time of the sort.
func sortRows(ctx context.Context, q *query, ch *delta.Chunk, keys []orderKey) ([]int32, error) {
	held := holding{mem: q.mem}
	defer held.release()
	if err := held.set(int64(ch.Rows) * 52); err != nil {
		return nil, err
	}
	entries := make([]sortEntry, ch.Rows)
	sk, err := encodeKeys(ctx, &held, ch, keys, entries)
	if err != nil {
		return nil, err
	}
	if entries, err = mergeSort(ctx, entries, sk, q.opt.Parallelism); err != nil {
		return nil, err
	}
	perm := make([]int32, len(entries))
	for i := range entries {
		perm[i] = entries[i].row
	}
	return perm, nil
}

// encodeKeys fills the entries, and makes the keys when they do not fit.
func encodeKeys(ctx context.Context, held *holding, ch *delta.Chunk, keys []orderKey, entries []sortEntry) (*sortKeys, error) {
	marks := false
	for _, k := range keys {
		marks = marks || k.col >= 0 && ch.Cols[k.col].CountNulls() > 0
	}
	if fitsPrefix(keys, marks) {
		var buf []byte
		for i := range entries {
			if i%sortRun == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			buf = appendSortKey(buf[:0], keys, ch.Cols, i, marks)
			entries[i] = entryOf(buf, int32(i))
		}
		return nil, nil
	}
	sk := &sortKeys{ends: make([]uint64, len(entries))}
	base := held.bytes + int64(8*len(entries))
	for i := range entries {
		if i%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := held.set(base + int64(cap(sk.data))); err != nil {
				return nil, err
			}
		}
		start := len(sk.data)
		sk.data = appendSortKey(sk.data, keys, ch.Cols, i, marks)
		sk.ends[i] = uint64(len(sk.data))
		entries[i] = entryOf(sk.data[start:], int32(i))
	}
	return sk, held.set(base + int64(cap(sk.data)))
}

// fitsPrefix reports whether no key has more bytes than an entry holds.
func fitsPrefix(keys []orderKey, marks bool) bool {
	n := 0
	for _, k := range keys {
		if k.col < 0 {
			return false
		}
		switch k.class {
		case keyInt, keyFloat:
			n += 8
		case keyBool:
			n++
		default:
			return false
		}
		if marks {
			n++
		}
	}
	return n <= prefixBytes
}

func entryOf(key []byte, row int32) sortEntry {
	if len(key) >= prefixBytes {
		return sortEntry{binary.BigEndian.Uint64(key), binary.BigEndian.Uint64(key[8:]), row}
	}
	var p [prefixBytes]byte
	copy(p[:], key)
	return sortEntry{binary.BigEndian.Uint64(p[:]), binary.BigEndian.Uint64(p[8:]), row}
}

// mergeSort sorts runs and merges them pairwise until one is left; runs, and pairs of them, are independent of one
// another and are shared among workers.
func mergeSort(ctx context.Context, entries []sortEntry, sk *sortKeys, workers int) ([]sortEntry, error) {
	n := len(entries)
	err := inParallel(workers, (n+sortRun-1)/sortRun, func(i int) error {
		slices.SortFunc(entries[i*sortRun:min((i+1)*sortRun, n)], sk.compare)
		return ctx.Err()
	})
	if err != nil || n <= sortRun {
		return entries, err
	}
	from, to := entries, make([]sortEntry, n)
	for width := sortRun; width < n; width *= 2 {
		err := inParallel(workers, (n+2*width-1)/(2*width), func(i int) error {
			lo := i * 2 * width
			mid, hi := min(lo+width, n), min(lo+2*width, n)
			return mergeRuns(ctx, to[lo:hi], from[lo:mid], from[mid:hi], sk)
		})
		if err != nil {
			return nil, err
		}
		from, to = to, from
	}
	return from, nil
}

// inParallel calls f for 0 … n-1 from up to workers goroutines, the caller's included, and returns when all are done.
// After an error no further call is begun.
func inParallel(workers, n int, f func(i int) error) error {
	var next, failed atomic.Int64
	errs := make([]error, n)
	work := func() {
		for failed.Load() == 0 {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if errs[i] = f(i); errs[i] != nil {
				failed.Store(1)
			}
		}
	}
	var others sync.WaitGroup
	for range min(workers, n) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	return cmp.Or(errs...)
}

func mergeRuns(ctx context.Context, out, a, b []sortEntry, sk *sortKeys) error {
	if len(a) > 0 && len(b) > 0 && sk.compare(a[len(a)-1], b[0]) < 0 { // in order already
		copy(out[copy(out, a):], b)
		return ctx.Err()
	}
	i, j := 0, 0
	for k := range out {
		if k%sortRun == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if j == len(b) || i < len(a) && sk.compare(a[i], b[j]) < 0 {
			out[k] = a[i]
			i++
		} else {
			out[k] = b[j]
			j++
		}
	}
	return nil
}
