package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/object/objecttest"
)

var (
	ctx   = context.Background()
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
)

func openTest(t testing.TB, dir string, store object.Store, incarnation uint64, m *Manifest) *Shard {
	t.Helper()
	s, err := Open(ctx, Options{Dir: dir, Objects: store, ID: 3, Incarnation: incarnation, Logger: quiet}, m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func entries(model map[string]string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, k := range slices.Sorted(maps.Keys(model)) {
			e := Entry{Key: []byte(k), Value: []byte(model[k])}
			if model[k] == "" {
				e = Entry{Key: []byte(k), Delete: true}
			}
			if !yield(e) {
				return
			}
		}
	}
}

func ingest(t testing.TB, s *Shard, delta map[string]string) {
	t.Helper()
	if err := s.Ingest(ctx, entries(delta)); err != nil {
		t.Fatal(err)
	}
}

func checkpoint(t testing.TB, s *Shard, epoch uint64) *Manifest {
	t.Helper()
	m, err := s.Checkpoint(ctx, epoch)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := DecodeManifest(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return decoded
}

func snapshot(t testing.TB, s *Shard) *Snapshot {
	t.Helper()
	v, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// read returns all that a snapshot holds.
func read(t testing.TB, v *Snapshot) map[string]string {
	t.Helper()
	got := map[string]string{}
	it := v.Scan(ctx, nil, nil, false)
	defer it.Close()
	for it.Next() {
		got[string(it.Key())] = string(it.Value())
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return got
}

func expect(t testing.TB, s *Shard, want map[string]string) {
	t.Helper()
	v := snapshot(t, s)
	defer v.Close()
	if got := read(t, v); !maps.Equal(got, want) {
		t.Fatalf("shard holds %d keys, want %d; differs: %s", len(got), len(want), difference(got, want))
	}
}

func difference(got, want map[string]string) string {
	for k, w := range want {
		if g, ok := got[k]; !ok || g != w {
			return fmt.Sprintf("key %q is %.20q, want %.20q", k, g, w)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			return fmt.Sprintf("key %q should not be there", k)
		}
	}
	return "nothing"
}

func apply(model, delta map[string]string) {
	for k, v := range delta {
		if v == "" {
			delete(model, k)
		} else {
			model[k] = v
		}
	}
}

// stores are the kinds of object store that take different paths.
func stores(t *testing.T) map[string]object.Store {
	file, err := object.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]object.Store{"memory": &objecttest.Mem{}, "folder": file}
}

// A random history of deltas, range deletions, checkpoints, crashes and lost folders: what is read
// is always what the model says, before and after reopening.
func TestAgainstModel(t *testing.T) {
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 7))
			model, committed := map[string]string{}, map[string]string{}
			var manifest *Manifest
			dir := t.TempDir()
			incarnation := uint64(1)
			s := openTest(t, dir, store, incarnation, nil)
			for epoch := uint64(1); epoch < 120; epoch++ {
				delta := map[string]string{}
				for range rng.IntN(60) {
					v := fmt.Sprintf("v%d-%s", epoch, strings.Repeat("x", rng.IntN(50)))
					if rng.IntN(4) == 0 {
						v = ""
					}
					delta[fmt.Sprintf("k%03d", rng.IntN(500))] = v
				}
				ingest(t, s, delta)
				apply(model, delta)
				if rng.IntN(10) == 0 {
					lo := fmt.Sprintf("k%03d", rng.IntN(500))
					hi := lo + "~"
					if err := s.DeleteRange(ctx, []byte(lo), []byte(hi)); err != nil {
						t.Fatal(err)
					}
					maps.DeleteFunc(model, func(k, _ string) bool { return k >= lo && k < hi })
				}
				if rng.IntN(3) == 0 {
					manifest = checkpoint(t, s, epoch)
					committed = maps.Clone(model)
				}
				if rng.IntN(8) == 0 && manifest != nil {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					if rng.IntN(2) == 0 {
						dir = t.TempDir()
					}
					incarnation++
					s = openTest(t, dir, store, incarnation, manifest)
					model = maps.Clone(committed)
				}
				expect(t, s, model)
			}
		})
	}
}

func TestReads(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	ingest(t, s, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
	old := snapshot(t, s)
	defer old.Close()
	ingest(t, s, map[string]string{"b": "", "c": "33", "e": "5"})
	v := snapshot(t, s)
	defer v.Close()

	if got := read(t, old); !maps.Equal(got, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"}) {
		t.Errorf("the older snapshot changed: %v", got)
	}
	for key, want := range map[string]string{"a": "1", "b": "", "c": "33", "x": ""} {
		got, ok, err := v.Get([]byte(key))
		if string(got) != want || ok != (want != "") || err != nil {
			t.Errorf("get %s gives %q, %v, %v", key, got, ok, err)
		}
	}
	var multi []string
	keys := [][]byte{[]byte("a"), []byte("aa"), []byte("b"), []byte("c"), []byte("e"), []byte("z")}
	err := v.MultiGet(ctx, keys, func(i int, value []byte, ok bool) {
		multi = append(multi, fmt.Sprintf("%d:%s:%v", i, value, ok))
	})
	if got := strings.Join(multi, " "); err != nil || got != "0:1:true 1::false 2::false 3:33:true 4:5:true 5::false" {
		t.Errorf("multi-get gives %s, %v", got, err)
	}
	for _, c := range []struct {
		lo, hi  string
		reverse bool
		want    string
	}{{"", "", false, "acde"}, {"", "", true, "edca"}, {"b", "e", false, "cd"}, {"b", "e", true, "dc"}, {"x", "", false, ""}} {
		var lo, hi []byte
		if c.lo != "" {
			lo = []byte(c.lo)
		}
		if c.hi != "" {
			hi = []byte(c.hi)
		}
		it := v.Scan(ctx, lo, hi, c.reverse)
		got := ""
		for it.Next() {
			got += string(it.Key())
		}
		if err := it.Close(); got != c.want || err != nil {
			t.Errorf("scan [%s, %s) reverse %v gives %s, %v", c.lo, c.hi, c.reverse, got, err)
		}
	}
	it := v.Scan(ctx, nil, nil, false)
	if !it.SeekGE([]byte("b")) || string(it.Key()) != "c" || !it.Next() || string(it.Key()) != "d" {
		t.Error("seek is wrong")
	}
	it.Close()
}

func TestUnsortedDeltaChangesNothing(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	for name, keys := range map[string][]string{"descending": {"b", "a"}, "twice": {"a", "a"}} {
		err := s.Ingest(ctx, func(yield func(Entry) bool) {
			for _, k := range keys {
				if !yield(Entry{Key: []byte(k), Value: []byte("v")}) {
					return
				}
			}
		})
		if err == nil {
			t.Errorf("%s keys are accepted", name)
		}
	}
	expect(t, s, map[string]string{})
	ingest(t, s, map[string]string{"a": "1"})
	expect(t, s, map[string]string{"a": "1"})
}

// A delta above the size of a table becomes several, and is still applied as one.
func TestLargeDeltaIsSplit(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 80 MB")
	}
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	value := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{1}).Read(value)
	err := s.Ingest(ctx, func(yield func(Entry) bool) {
		for i := range 80 {
			if !yield(Entry{Key: fmt.Appendf(nil, "%04d", i), Value: value}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	m := checkpoint(t, s, 1)
	if len(m.Tables) < 2 || m.Bytes() < 80<<20 {
		t.Errorf("80 MB became %d tables of %d bytes", len(m.Tables), m.Bytes())
	}
	v := snapshot(t, s)
	defer v.Close()
	if got, ok, err := v.Get([]byte("0079")); !ok || err != nil || !bytes.Equal(got, value) {
		t.Errorf("last key: %v, %v", ok, err)
	}
}

func TestManifestIsChecked(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	good := checkpoint(t, s, 5)
	if name := good.ObjectName(); name != "ckpt/3/00000000000000000005-1.json" {
		t.Errorf("manifest is kept at %s", name)
	}
	for name, spoil := range map[string]func(*Manifest){
		"format":   func(m *Manifest) { m.Format++ },
		"traverse": func(m *Manifest) { m.Tables = []Table{{File: "../x.sst", Object: "a", Size: 1}} },
		"object":   func(m *Manifest) { m.Tables = []Table{{File: "x.sst", Object: "../a", Size: 1}} },
		"size":     func(m *Manifest) { m.Tables = []Table{{File: "x.sst", Object: "a"}} },
		"meta":     func(m *Manifest) { m.Meta = map[string][]byte{"a/b": nil} },
	} {
		m := *good
		spoil(&m)
		encoded, _ := m.Encode()
		if _, err := DecodeManifest(encoded); err == nil {
			t.Errorf("%s: a spoilt manifest is accepted", name)
		}
	}
	if _, err := DecodeManifest([]byte("{")); err == nil {
		t.Error("broken JSON is accepted")
	}
	if _, err := Open(ctx, Options{Dir: t.TempDir(), Objects: &objecttest.Mem{}, ID: 4, Incarnation: 2}, good); err == nil {
		t.Error("another shard's manifest is accepted")
	}
}

// An idle shard uploads nothing and keeps its manifest.
func TestIdleCheckpoint(t *testing.T) {
	store := objecttest.NewFaulty(&objecttest.Mem{})
	s := openTest(t, t.TempDir(), store, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	first := checkpoint(t, s, 1)
	puts := store.Ops("put")
	second := checkpoint(t, s, 2)
	if second.Epoch != 1 || store.Ops("put") != puts || puts != 1 {
		t.Errorf("idle checkpoint has epoch %d and took %d puts", second.Epoch, store.Ops("put")-puts)
	}
	if s.Close() != nil {
		t.Fatal("close")
	}
	s = openTest(t, t.TempDir(), store, 2, first)
	if m := checkpoint(t, s, 9); m.Epoch != 1 || m.Incarnation != 1 {
		t.Errorf("a reopened idle shard has manifest %d-%d", m.Epoch, m.Incarnation)
	}
}

// Opening reads no table, a read fetches what it needs, and a local cache is used again.
func TestOpenIsLazy(t *testing.T) {
	mem := &objecttest.Mem{}
	dir := t.TempDir()
	s := openTest(t, dir, mem, 1, nil)
	model := map[string]string{}
	for epoch := range uint64(3) { // disjoint ranges, so they stay separate tables
		delta := map[string]string{}
		for i := range 1000 {
			delta[fmt.Sprintf("%d-%04d", epoch, i)] = fmt.Sprint("value ", i)
		}
		ingest(t, s, delta)
		apply(model, delta)
	}
	m := checkpoint(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	store := objecttest.NewFaulty(mem)
	s = openTest(t, dir, store, 2, m)
	expect(t, s, model)
	if n := store.Ops(""); n != 0 {
		t.Errorf("with the cache in place, %d objects were asked for", n)
	}
	s.Close()

	s = openTest(t, t.TempDir(), store, 3, m)
	if n := store.Ops(""); n != 0 {
		t.Errorf("opening asked for %d objects", n)
	}
	if st := s.Stats(); st.Tables != len(m.Tables) || st.LocalBytes != 0 || st.Bytes != m.Bytes() {
		t.Errorf("stats are %+v", st)
	}
	v := snapshot(t, s)
	if got, ok, err := v.Get([]byte("1-0500")); string(got) != "value 500" || !ok || err != nil {
		t.Errorf("get gives %q, %v, %v", got, ok, err)
	}
	if n := store.Ops("get"); n > 3 { // the tail, and the whole table in the background
		t.Errorf("one read took %d object reads", n)
	}
	v.Close()
	expect(t, s, model)
}

// While a table is not here, reads come from its object; once it is, from the local file.
func TestReadsDuringDownload(t *testing.T) {
	mem := &objecttest.Mem{}
	s := openTest(t, t.TempDir(), mem, 1, nil)
	delta := map[string]string{}
	rng := rand.NewChaCha8([32]byte{2})
	random := make([]byte, 400)
	for i := range 4000 {
		rng.Read(random)
		delta[fmt.Sprintf("%05d", i)] = string(random)
	}
	ingest(t, s, delta)
	m := checkpoint(t, s, 1)
	if m.Bytes() < 2*tailBytes {
		t.Fatalf("the table has only %d bytes", m.Bytes())
	}

	store := &stuckDownloads{Store: mem, release: make(chan struct{})}
	dir := t.TempDir()
	s = openTest(t, dir, store, 2, m)
	expect(t, s, delta)
	v := snapshot(t, s)
	keys := make([][]byte, 0, len(delta))
	for _, k := range slices.Sorted(maps.Keys(delta)) {
		keys = append(keys, []byte(k))
	}
	found := 0
	if err := v.MultiGet(ctx, keys, func(i int, value []byte, ok bool) {
		if ok && string(value) == delta[string(keys[i])] {
			found++
		}
	}); err != nil || found != len(keys) {
		t.Errorf("multi-get finds %d of %d, %v", found, len(keys), err)
	}
	v.Close()
	close(store.release)
	s.fs.running.Wait()
	if st := s.Stats(); st.LocalBytes != st.Bytes {
		t.Errorf("%d of %d bytes are local after the download", st.LocalBytes, st.Bytes)
	}
	expect(t, s, delta)
}

// stuckDownloads is a store whose whole objects come only when released, or never.
type stuckDownloads struct {
	object.Store
	release chan struct{}
}

func (s *stuckDownloads) Get(ctx context.Context, name string) ([]byte, error) {
	select {
	case <-s.release:
		return s.Store.Get(ctx, name)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestPrefetch(t *testing.T) {
	mem := &objecttest.Mem{}
	s := openTest(t, t.TempDir(), mem, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	ingest(t, s, map[string]string{"b": "2"})
	m := checkpoint(t, s, 1)
	s, err := Open(ctx, Options{Dir: t.TempDir(), Objects: mem, ID: 3, Incarnation: 2, Logger: quiet, Prefetch: true}, m)
	if err != nil {
		t.Fatal(err)
	}
	s.fs.running.Wait()
	if st := s.Stats(); st.LocalBytes != m.Bytes() {
		t.Errorf("%d of %d bytes are local", st.LocalBytes, m.Bytes())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// In a folder on the same file system a table is stored once: the object is a link to it.
func TestFolderStoreLinks(t *testing.T) {
	root := t.TempDir()
	store, err := object.NewFile(filepath.Join(root, "objects"))
	if err != nil {
		t.Fatal(err)
	}
	s := openTest(t, filepath.Join(root, "cache"), store, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	m := checkpoint(t, s, 1)
	local, err := os.Stat(filepath.Join(root, "cache", filepath.Base(m.Tables[0].Object)))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := os.Stat(filepath.Join(root, "objects", filepath.FromSlash(m.Tables[0].Object)))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(local, stored) {
		t.Error("the table was copied")
	}
}

// Trap: a restored shard numbers its tables from where its manifest ends, as its predecessor did. Only
// the incarnation keeps it from overwriting objects that a later manifest of the predecessor names.
func TestIncarnationsDoNotShareNames(t *testing.T) {
	mem := &objecttest.Mem{}
	s := openTest(t, t.TempDir(), mem, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	first := checkpoint(t, s, 1)
	ingest(t, s, map[string]string{"b": "2"})
	second := checkpoint(t, s, 2)

	other := openTest(t, t.TempDir(), mem, 2, first)
	ingest(t, other, map[string]string{"c": "3"})
	third := checkpoint(t, other, 2)
	for _, name := range third.Objects() {
		if slices.Contains(second.Objects(), name) && !slices.Contains(first.Objects(), name) {
			t.Errorf("object %s was written by two incarnations", name)
		}
	}
	expect(t, openTest(t, t.TempDir(), mem, 3, second), map[string]string{"a": "1", "b": "2"})
	expect(t, openTest(t, t.TempDir(), mem, 4, third), map[string]string{"a": "1", "c": "3"})
	if _, err := Open(ctx, Options{Dir: t.TempDir(), Objects: mem, ID: 3, Incarnation: 2}, third); err == nil {
		t.Error("a manifest can be opened under the incarnation that wrote it")
	}
}

// deepShard has several overlapping tables in level 0, so that compaction has work, and the gate shut.
func deepShard(t testing.TB, dir string, store object.Store, tables int) *Shard {
	s := openTest(t, dir, store, 1, nil)
	s.gate.all.mu.Lock()
	s.gate.opened = false
	s.gate.all.mu.Unlock()
	for i := range tables {
		delta := map[string]string{}
		for k := range 100 {
			delta[fmt.Sprintf("%03d", k)] = fmt.Sprint(i)
		}
		ingest(t, s, delta)
	}
	return s
}

// Trap: Pebble's Open waits for the compactions it starts. The gate keeps them until we are open.
func TestOpenDoesNotWaitForCompaction(t *testing.T) {
	mem := &objecttest.Mem{}
	s := deepShard(t, t.TempDir(), mem, 15)
	m := checkpoint(t, s, 1)

	// Reads of objects block: a compaction cannot end, and neither could an Open that waits for it.
	block := make(chan struct{})
	store := objecttest.NewFaulty(mem)
	store.SetHook(func(op, _ string) error {
		if op == "get" {
			<-block
		}
		return nil
	})
	reopened := openTest(t, t.TempDir(), store, 2, m)
	close(block)
	waitShallow(t, reopened, 5)
	v := snapshot(t, reopened)
	defer v.Close()
	if got := read(t, v); len(got) != 100 || got["050"] != "14" {
		t.Errorf("%d keys, 050 is %s", len(got), got["050"])
	}
}

func waitShallow(t testing.TB, s *Shard, sublevels int32) {
	t.Helper()
	for s.db.Metrics().Levels[0].Sublevels >= sublevels {
		select {
		case <-s.throttle.changed:
		case <-t.Context().Done():
			t.Fatal("compaction never came")
		}
	}
}

// Trap: Pebble does not hold ingests back. Ours wait for level 0 to be shallow enough.
func TestIngestIsThrottled(t *testing.T) {
	s := deepShard(t, t.TempDir(), &objecttest.Mem{}, maxSublevels+1) // the first goes to the bottom
	if n := s.Stats().Sublevels; n != maxSublevels {
		t.Fatalf("level 0 has %d sublevels", n)
	}
	short, cancel := context.WithCancel(ctx)
	cancel()
	delta := map[string]string{"050": "late"}
	if err := s.Ingest(short, entries(delta)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ingest into a deep shard gives %v", err)
	}
	s.gate.open()
	ingest(t, s, delta) // returns once a compaction has ended
	v := snapshot(t, s)
	defer v.Close()
	if got, _, _ := v.Get([]byte("050")); string(got) != "late" {
		t.Errorf("key is %s", got)
	}
}

// Trap: an excise shows in snapshots that are open. Ours refuses then.
func TestExcise(t *testing.T) {
	mem := &objecttest.Mem{}
	s := openTest(t, t.TempDir(), mem, 1, nil)
	ingest(t, s, map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
	v := snapshot(t, s)
	if err := s.Excise(ctx, []byte("b"), []byte("d")); err == nil {
		t.Error("excise under an open snapshot is accepted")
	}
	if got := read(t, v); len(got) != 4 {
		t.Errorf("the snapshot has %d keys", len(got))
	}
	v.Close()
	if err := s.Excise(ctx, []byte("b"), []byte("d")); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "1", "d": "4"}
	expect(t, s, want)
	expect(t, openTest(t, t.TempDir(), mem, 2, checkpoint(t, s, 1)), want)
}

// Trap: Pebble would raise its format when a newer release of it opens a shard.
func TestFormatIsPinned(t *testing.T) {
	mem := &objecttest.Mem{}
	s := openTest(t, t.TempDir(), mem, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	s = openTest(t, t.TempDir(), mem, 2, checkpoint(t, s, 1))
	if got := s.db.FormatMajorVersion(); got != pebble.FormatTableFormatV6 {
		t.Errorf("format is %d", got)
	}
}

// Trap: Pebble's MANIFEST grows with each edit and travels in each of our manifests.
func TestManifestStaysSmall(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	for epoch := range uint64(800) {
		ingest(t, s, map[string]string{fmt.Sprintf("%0200d", epoch): "v"})
	}
	encoded, err := checkpoint(t, s, 800).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if len(encoded) > 400<<10 {
		t.Errorf("the manifest has %d bytes after 800 deltas", len(encoded))
	}
}

// Deltas of ascending keys overlap nothing, so Pebble would keep a table of each, for ever.
func TestSmallTablesAreMerged(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	want := map[string]string{}
	for epoch := range 400 {
		delta := map[string]string{fmt.Sprintf("%06d", epoch): "v"}
		ingest(t, s, delta)
		apply(want, delta)
	}
	waitShallow(t, s, 5)
	if n := s.Stats().Tables; n > 100 {
		t.Errorf("400 small deltas left %d tables", n)
	}
	expect(t, s, want)
	for _, key := range [][]byte{{0}, {255}} {
		if s.Ingest(ctx, slices.Values([]Entry{{Key: key}})) == nil {
			t.Errorf("reserved key %x is accepted", key)
		}
	}
}

// Close must not wait for a compaction that is at work.
func TestCloseDuringCompaction(t *testing.T) {
	for range 10 {
		s := deepShard(t, t.TempDir(), &objecttest.Mem{}, 12)
		s.gate.open()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseRefusesOpenSnapshots(t *testing.T) {
	s := openTest(t, t.TempDir(), &objecttest.Mem{}, 1, nil)
	v := snapshot(t, s)
	if s.Close() == nil {
		t.Error("close with an open snapshot is accepted")
	}
	v.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Snapshot(); !errors.Is(err, ErrClosed) {
		t.Errorf("snapshot of a closed shard gives %v", err)
	}
	if err := s.Ingest(ctx, entries(map[string]string{"a": "1"})); !errors.Is(err, ErrClosed) {
		t.Errorf("ingest into a closed shard gives %v", err)
	}
	if _, err := s.Checkpoint(ctx, 1); !errors.Is(err, ErrClosed) {
		t.Errorf("checkpoint of a closed shard gives %v", err)
	}
}

// Compaction may remove a table after Freeze and before its upload; the file must stay until then.
func TestUploadAfterCompaction(t *testing.T) {
	mem := &objecttest.Mem{}
	s := deepShard(t, t.TempDir(), mem, 12)
	frozen, err := s.Freeze(1)
	if err != nil {
		t.Fatal(err)
	}
	s.gate.open()
	waitShallow(t, s, 4)
	ingest(t, s, map[string]string{"050": "next epoch"})
	m, err := frozen.Upload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v := snapshot(t, openTest(t, t.TempDir(), mem, 2, m))
	defer v.Close()
	if got := read(t, v); len(got) != 100 || got["050"] != "11" {
		t.Errorf("checkpoint has %d keys, 050 is %s", len(got), got["050"])
	}
	entries, _ := os.ReadDir(s.opts.Dir)
	if _, _, local := s.fs.usage(); len(entries) > len(s.fs.mu.tables)+1 {
		t.Errorf("%d local files for %d tables of %d bytes", len(entries), len(s.fs.mu.tables), local)
	}
}

// A failed upload loses nothing: the next checkpoint sends what is missing.
func TestFailedUpload(t *testing.T) {
	mem := &objecttest.Mem{}
	store := objecttest.NewFaulty(mem)
	s := openTest(t, t.TempDir(), store, 1, nil)
	ingest(t, s, map[string]string{"a": "1"})
	store.FailAt(1, false, false)
	if _, err := s.Checkpoint(ctx, 1); !errors.Is(err, objecttest.ErrInjected) {
		t.Errorf("checkpoint gives %v", err)
	}
	m := checkpoint(t, s, 2)
	if m.Epoch != 2 {
		t.Errorf("epoch is %d", m.Epoch)
	}
	expect(t, openTest(t, t.TempDir(), mem, 2, m), map[string]string{"a": "1"})
}

// Readers, the writer and compaction at once, for the race detector.
func TestConcurrency(t *testing.T) {
	cache := NewCache(1<<20, 1)
	defer cache.Close()
	mem := &objecttest.Mem{}
	s, err := Open(ctx, Options{Dir: t.TempDir(), Objects: mem, ID: 3, Incarnation: 1, Cache: cache, Logger: quiet}, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				v, err := s.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				// Each delta writes all keys with one value: a snapshot never sees two.
				values := map[string]bool{}
				for _, value := range read(t, v) {
					values[value] = true
				}
				if len(values) > 1 {
					t.Errorf("snapshot sees %d epochs", len(values))
				}
				v.Close()
			}
		})
	}
	group.Go(func() { // checkpoints are another goroutine's
		for epoch := uint64(1); ; epoch++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Checkpoint(ctx, epoch); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for epoch := uint64(1); epoch <= 60; epoch++ {
		delta := map[string]string{}
		for k := range 50 {
			delta[fmt.Sprint(k)] = fmt.Sprint(epoch)
		}
		ingest(t, s, delta)
		if err := s.DeleteRange(ctx, []byte("a"), []byte("b")); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	group.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Get reuses iterators; they must not outlive what compaction has replaced, nor keep a shard from closing.
func TestGetAcrossCompaction(t *testing.T) {
	s := deepShard(t, t.TempDir(), &objecttest.Mem{}, 12)
	v := snapshot(t, s)
	defer v.Close()
	want := read(t, v)
	get := func() {
		t.Helper()
		for k, value := range want {
			if got, ok, err := v.Get([]byte(k)); err != nil || !ok || string(got) != value {
				t.Fatalf("%s is %q, %v, %v, want %q", k, got, ok, err, value)
			}
			if _, ok, err := v.Get([]byte(k + "~")); ok || err != nil {
				t.Fatalf("%s~ is there, or %v", k, err)
			}
		}
	}
	get()
	if len(v.points.idle) != 1 {
		t.Errorf("%d iterators are kept, want one", len(v.points.idle))
	}
	before := v.points.born
	s.gate.open()
	waitShallow(t, s, 5)
	get()
	if len(v.points.idle) != 1 || v.points.born == before {
		t.Error("an iterator of before the compaction is kept")
	}
}
