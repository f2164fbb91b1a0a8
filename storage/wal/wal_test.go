package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/millrace/millrace/storage/wal"
	"github.com/millrace/millrace/storage/wal/waltest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func open(t testing.TB, fs wal.FS, segmentBytes, tailBytes int64) *wal.Log {
	t.Helper()
	l, err := wal.Open(wal.Options{FS: fs, SegmentBytes: segmentBytes, TailBytes: tailBytes, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// payload is what the tests write at a position; its length varies.
func payload(pos uint64) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("<%d>", pos)), int(pos%7))
}

func appendUpTo(t testing.TB, l *wal.Log, last uint64) {
	t.Helper()
	for l.Durable() < last {
		want := l.Durable() + 1
		if pos, err := l.Append([][]byte{payload(want)}); err != nil || pos != want {
			t.Fatalf("append gives %d, %v, want %d", pos, err, want)
		}
	}
}

// expect checks that the log holds exactly the records first … last.
func expect(t testing.TB, l *wal.Log, after, last uint64) {
	t.Helper()
	want := after + 1
	for r, err := range l.Records(after) {
		if err != nil {
			t.Fatalf("read record %d: %v", want, err)
		}
		if r.Pos != want || !bytes.Equal(r.Payload, payload(want)) {
			t.Fatalf("record %d is %q, want %d: %q", r.Pos, r.Payload, want, payload(want))
		}
		want++
	}
	if want != last+1 {
		t.Fatalf("log ends at %d, want %d", want-1, last)
	}
}

func TestAppendReopenRead(t *testing.T) {
	for _, c := range []struct {
		name          string
		segment, tail int64
	}{{"one segment", 1 << 20, 1 << 20}, {"many segments", 300, 1 << 20}, {"from disk", 300, 1}, {"from disk, one segment", 1 << 20, 1}} {
		t.Run(c.name, func(t *testing.T) {
			fs, err := wal.Dir(t.TempDir() + "/log")
			if err != nil {
				t.Fatal(err)
			}
			for last := uint64(0); last <= 100; last += 20 {
				l := open(t, fs, c.segment, c.tail)
				if l.Durable() != last {
					t.Fatalf("durable is %d after reopening, want %d", l.Durable(), last)
				}
				appendUpTo(t, l, last+20)
				for after := uint64(0); after <= last+20; after += 7 {
					expect(t, l, after, last+20)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAppendSeveral(t *testing.T) {
	l := open(t, &waltest.FS{}, 0, 0)
	defer l.Close()
	if pos, err := l.Append([][]byte{payload(1), payload(2), payload(3)}); pos != 3 || err != nil {
		t.Fatalf("append gives %d, %v", pos, err)
	}
	if pos, err := l.Append(nil); pos != 3 || err != nil {
		t.Fatalf("append of nothing gives %d, %v", pos, err)
	}
	expect(t, l, 0, 3)
}

// Callers that come while a sync is under way share the next one, and positions follow the order in
// which Enqueue was called.
func TestGroupCommit(t *testing.T) {
	fs := &waltest.FS{}
	l := open(t, fs, 0, 0)
	before := fs.Syncs()
	const callers = 50
	var waits []func() error
	for i := range callers {
		pos, wait := l.Enqueue(payload(uint64(i + 1)))
		if pos != uint64(i+1) {
			t.Fatalf("call %d has position %d", i, pos)
		}
		waits = append(waits, wait)
	}
	if l.Durable() != 0 {
		t.Error("records are durable before anybody waited")
	}
	var group sync.WaitGroup
	for _, wait := range waits {
		group.Go(func() {
			if err := wait(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := fs.Syncs() - before; n != 1 {
		t.Errorf("%d records took %d syncs", callers, n)
	}
	expect(t, l, 0, callers)
	l.Close()
}

func TestConcurrentAppendAndSubscribe(t *testing.T) {
	fs, err := wal.Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, fs, 4096, 512)
	const callers, each = 8, 50
	var group sync.WaitGroup
	for reader := range 3 {
		group.Go(func() {
			s := l.Subscribe(0)
			defer s.Close()
			for want := uint64(1); want <= callers*each; want++ {
				r, err := s.Next(context.Background())
				if err != nil || r.Pos != want {
					t.Errorf("reader %d: record %d, %v, want %d", reader, r.Pos, err, want)
					return
				}
			}
		})
	}
	for caller := range callers {
		group.Go(func() {
			var last uint64
			for i := range each {
				pos, err := l.Append([][]byte{[]byte(fmt.Sprintf("caller %d, %d", caller, i))})
				if err != nil || pos <= last {
					t.Errorf("append gives %d after %d, %v", pos, last, err)
					return
				}
				last = pos
			}
		})
	}
	group.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// A reader that stopped within a segment, because no more was durable, reads on in it, or in a later one
// after records that it took from memory.
func TestSubscriptionReadsOnFromDisk(t *testing.T) {
	for name, inMemory := range map[string]uint64{"in the same segment": 0, "in a later segment": 60} {
		t.Run(name, func(t *testing.T) {
			l := open(t, &waltest.FS{}, 2048, 64)
			defer l.Close()
			s := l.Subscribe(0)
			defer s.Close()
			read := func(from, to uint64) {
				t.Helper()
				for want := from; want <= to; want++ {
					if r, ok, err := s.TryNext(); err != nil || !ok || r.Pos != want {
						t.Fatalf("record %d, %v, %v, want %d", r.Pos, ok, err, want)
					}
				}
			}
			const first = 20
			appendUpTo(t, l, first)
			read(1, first)
			for pos := uint64(first + 1); pos <= first+inMemory; pos++ {
				appendUpTo(t, l, pos)
				read(pos, pos)
			}
			appendUpTo(t, l, first+inMemory+200)
			read(first+inMemory+1, first+inMemory+200)
		})
	}
}

func TestSubscriptionWaits(t *testing.T) {
	l := open(t, &waltest.FS{}, 0, 0)
	s := l.Subscribe(0)
	defer s.Close()
	if _, ok, err := s.TryNext(); ok || err != nil {
		t.Fatalf("an empty log gives a record: %v, %v", ok, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled reader gets %v", err)
	}
	got := make(chan wal.Record)
	go func() {
		r, _ := s.Next(context.Background())
		got <- r
	}()
	appendUpTo(t, l, 1)
	if r := <-got; r.Pos != 1 {
		t.Errorf("reader gets record %d", r.Pos)
	}
	closed := make(chan error)
	go func() {
		_, err := s.Next(context.Background())
		closed <- err
	}()
	l.Close()
	if err := <-closed; !errors.Is(err, wal.ErrClosed) {
		t.Errorf("a reader of a closed log gets %v", err)
	}
	if _, err := l.Append([][]byte{nil}); !errors.Is(err, wal.ErrClosed) {
		t.Errorf("a writer to a closed log gets %v", err)
	}
}

func TestTruncateBefore(t *testing.T) {
	fs := &waltest.FS{}
	l := open(t, fs, 200, 1)
	appendUpTo(t, l, 60)
	s := l.Subscribe(0)
	if err := l.TruncateBefore(31); err != nil {
		t.Fatal(err)
	}
	first := l.First()
	if first > 31 || first < 20 {
		t.Errorf("first record is %d", first)
	}
	if _, err := s.Next(context.Background()); !errors.Is(err, wal.ErrTruncated) {
		t.Errorf("reader of removed records gets %v", err)
	}
	expect(t, l, 30, 60)
	if err := l.TruncateBefore(1000); err != nil {
		t.Fatal(err)
	}
	l.Close()
	l = open(t, fs, 200, 1)
	defer l.Close()
	if l.Durable() != 60 {
		t.Errorf("the position is %d after all was removed", l.Durable())
	}
	appendUpTo(t, l, 70)
	expect(t, l, 60, 70)
}

// A folder that was lost must not give positions out again.
func TestMinNext(t *testing.T) {
	fs := &waltest.FS{}
	l := open(t, fs, 0, 0)
	appendUpTo(t, l, 5)
	l.Close()
	l, err := wal.Open(wal.Options{FS: fs, MinNext: 100, TailBytes: 1, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for want := uint64(100); want < 103; want++ {
		if pos, err := l.Append([][]byte{payload(want)}); pos != want || err != nil {
			t.Fatalf("append gives %d, %v", pos, err)
		}
	}
	var got []uint64
	for r, err := range l.Records(3) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Pos)
	}
	if fmt.Sprint(got) != "[4 5 100 101 102]" {
		t.Errorf("records are %v", got)
	}
}

// After a crash at any moment each acknowledged record is there, in order, and nothing else that was
// not written.
func TestCrash(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fs := &waltest.FS{}
		acked, enqueued := uint64(0), uint64(0)
		for range 4 {
			fs.FailAt(1 + rng.IntN(60))
			l, err := wal.Open(wal.Options{FS: fs, SegmentBytes: 400, TailBytes: 1, Logger: quiet})
			if err == nil {
				if l.Durable() < acked || l.Durable() > enqueued {
					t.Fatalf("seed %d: log ends at %d, acknowledged %d, written %d", seed, l.Durable(), acked, enqueued)
				}
				acked, enqueued = work(rng, l)
			}
			fs = fs.Crash(rng)
		}
		l := open(t, fs, 400, 1)
		if l.Durable() < acked || l.Durable() > enqueued {
			t.Fatalf("seed %d: log ends at %d, acknowledged %d, written %d", seed, l.Durable(), acked, enqueued)
		}
		expect(t, l, 0, l.Durable())
		l.Close()
	}
}

// work appends until the file system fails and returns the last position that was acknowledged and
// the last that was written.
func work(rng *rand.Rand, l *wal.Log) (acked, enqueued uint64) {
	acked, enqueued = l.Durable(), l.Durable()
	for range 40 {
		var waits []func() error
		var positions []uint64
		for range 1 + rng.IntN(4) {
			pos, wait := l.Enqueue(payload(enqueued + 1))
			if pos == 0 {
				return acked, enqueued // poisoned
			}
			enqueued = pos
			waits, positions = append(waits, wait), append(positions, pos)
		}
		for i, wait := range waits {
			if wait() == nil {
				acked = positions[i]
			}
		}
	}
	return acked, enqueued
}

func TestFailurePoisons(t *testing.T) {
	fs := &waltest.FS{}
	l := open(t, fs, 0, 0)
	appendUpTo(t, l, 3)
	fs.FailAt(2) // the sync after the next write
	if _, err := l.Append([][]byte{payload(4)}); !errors.Is(err, wal.ErrPoisoned) || !errors.Is(err, waltest.ErrInjected) {
		t.Errorf("append gives %v", err)
	}
	fs.FailAt(0)
	if _, err := l.Append([][]byte{payload(4)}); !errors.Is(err, wal.ErrPoisoned) {
		t.Errorf("append after a failed sync gives %v", err)
	}
	expect(t, l, 0, 3)
	s := l.Subscribe(3)
	if _, err := s.Next(context.Background()); !errors.Is(err, wal.ErrPoisoned) {
		t.Errorf("a waiting reader gets %v", err)
	}
	l.Close()
}

func segments(t *testing.T, fs *waltest.FS) []string {
	names, err := fs.List()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestCorruption(t *testing.T) {
	build := func(segmentBytes int64) *waltest.FS {
		fs := &waltest.FS{}
		l := open(t, fs, segmentBytes, 1)
		appendUpTo(t, l, 40)
		l.Close()
		return fs
	}
	t.Run("middle of the last segment", func(t *testing.T) {
		fs := build(1 << 20)
		fs.Corrupt(segments(t, fs)[0], 200)
		if _, err := wal.Open(wal.Options{FS: fs, Logger: quiet}); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("open gives %v", err)
		}
	})
	t.Run("header before records", func(t *testing.T) {
		fs := build(1 << 20)
		fs.Corrupt(segments(t, fs)[0], 20)
		if _, err := wal.Open(wal.Options{FS: fs, Logger: quiet}); !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("open gives %v", err)
		}
	})
	t.Run("earlier segment", func(t *testing.T) {
		fs := build(300)
		fs.Corrupt(segments(t, fs)[1], 60)
		l := open(t, fs, 300, 1)
		defer l.Close()
		var err error
		for _, e := range l.Records(0) {
			err = e
		}
		if !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("read gives %v", err)
		}
	})
	t.Run("missing segment", func(t *testing.T) {
		fs := build(300)
		fs.Remove(segments(t, fs)[1])
		l := open(t, fs, 300, 1)
		defer l.Close()
		var err error
		for _, e := range l.Records(0) {
			err = e
		}
		if !errors.Is(err, wal.ErrCorrupt) {
			t.Errorf("read gives %v", err)
		}
	})
	t.Run("later format", func(t *testing.T) {
		fs := build(1 << 20)
		fs.Corrupt(segments(t, fs)[0], 8)
		if _, err := wal.Open(wal.Options{FS: fs, Logger: quiet}); err == nil || !strings.Contains(err.Error(), "format 17") {
			t.Errorf("open gives %v", err)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			fs, err := wal.Dir(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			l := open(b, fs, 0, 0)
			defer l.Close()
			record := make([]byte, 100)
			var group sync.WaitGroup
			for c := range callers {
				group.Go(func() {
					for i := c; i < b.N; i += callers {
						if _, err := l.Append([][]byte{record}); err != nil {
							b.Error(err)
						}
					}
				})
			}
			group.Wait()
		})
	}
}
