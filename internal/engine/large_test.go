package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/meta/epoch"
	"github.com/millrace/millrace/planner/stream"
	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/shard"
	"github.com/millrace/millrace/storage/wal"
)

// The tables of these tests: one with a key, one without, both (id bigint, v text).
const keyedID, bagID = catalog.ID(100), catalog.ID(101)

// bench is an engine over a log, whose checkpoints vanish with it: closing it without more ado is a crash.
type bench struct {
	t       *testing.T
	e       *Engine
	log     *wal.Log
	snap    *catalog.Snapshot
	mu      sync.Mutex
	commits []Commit
}

func (b *bench) Snapshot() *catalog.Snapshot                  { return b.snap }
func (b *bench) SetCreated(context.Context, catalog.ID) error { return nil }
func (b *bench) settings(*catalog.Relation) *sqlio.Settings   { return sqlio.DefaultSettings() }
func (b *bench) query() *Query {
	return &Query{Catalog: b.snap, Ctx: func() *expr.Ctx { return &expr.Ctx{} }}
}

// Commit implements Checkpoints.
func (b *bench) Commit(_ context.Context, _ *shard.Shard, _, _ uint64, raw json.RawMessage) error {
	var c Commit
	if err := json.Unmarshal(raw, &c); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commits = append(b.commits, c)
	return nil
}

func testTable(t *testing.T, id catalog.ID, key []int) *catalog.Relation {
	r := &catalog.Relation{ID: id, Schema: "public", Name: fmt.Sprintf("t%d", id), Kind: catalog.Table, Parallelism: 2, PrimaryKey: key,
		StateBase: id + 100, StateCount: 1,
		Columns: []catalog.Column{{ID: 1, Name: "id", Type: sqltypes.Int8}, {ID: 2, Name: "v", Type: sqltypes.Text}}}
	n, f := stream.TableJob(r, nil, nil, r.Parallelism)
	var err error
	if r.Plan, err = plan.Encode(n); err != nil {
		t.Fatal(err)
	}
	r.Key, r.Dist, r.UniqueKeys = f.Key, f.Dist, f.UniqueKeys
	return r
}

// open starts an engine on a log folder. Nothing is in the store, whatever the last checkpoint says.
func open(t *testing.T, dir string, last *Commit) *bench {
	t.Helper()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	fs, err := wal.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, snap: &catalog.Snapshot{Relations: map[catalog.ID]*catalog.Relation{
		keyedID: testTable(t, keyedID, []int{0}), bagID: testTable(t, bagID, nil)}}}
	b.snap.Index()
	if b.log, err = wal.Open(wal.Options{FS: fs, SegmentBytes: 1 << 20, Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	objects, err := object.Open(t.Context(), "file://"+filepath.Join(t.TempDir(), "objects"), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := shard.Open(t.Context(), shard.Options{Dir: t.TempDir(), Objects: objects, ID: 1, Incarnation: 1, Logger: quiet}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.e, err = Open(t.Context(), Config{Catalog: b, Shard: s, Checkpoints: b, Log: b.log, Last: last, Settings: b.settings, Logger: quiet,
		Epochs: epoch.Config{CheckpointInterval: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // no last checkpoint
		_ = b.e.Close(ctx)
		_ = b.log.Close()
		_ = s.Close()
	})
	return b
}

// filler makes rows large: so many of them are a large transaction.
var filler = strings.Repeat("0123456789", 200)

const largeRows = largeBytes/2000 + 100

func rowsFrom(first, n int64, v string) *delta.Chunk {
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
	for i := range n {
		b.AppendDatums([]sqltypes.Datum{first + i, []byte(v)}, 1)
	}
	return b.Take()
}

func (b *bench) insert(txn *Txn, id catalog.ID, c *delta.Chunk) {
	b.t.Helper()
	if _, err := b.e.InsertChunk(b.t.Context(), txn, b.snap.Relations[id], nil, c, b.query()); err != nil {
		b.t.Fatal(err)
	}
}

// small commits one row.
func (b *bench) small(id catalog.ID, row int64) uint64 {
	b.t.Helper()
	txn := b.e.Begin(ReadCommitted)
	b.insert(txn, id, rowsFrom(row, 1, "small"))
	pos, err := txn.Commit(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return pos
}

// contents counts the rows of a table by id.
func (b *bench) contents(id catalog.ID) map[int64]int {
	b.t.Helper()
	view, err := b.e.View(b.t.Context(), []catalog.ID{id}, b.e.Logged())
	if err != nil {
		b.t.Fatal(err)
	}
	defer view.Close()
	it, err := (&Reader{View: view, Rels: b.snap}).Scan(b.t.Context(), id, []int{0}, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	out := map[int64]int{}
	for {
		c, err := it.Next(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if c == nil {
			return out
		}
		for k := range c.Len() {
			out[c.Cols[0].Ints[c.Row(k)]] += int(c.Weight(c.Row(k)))
		}
	}
}

// records reads the whole log.
func (b *bench) records() []wal.Record {
	b.t.Helper()
	var out []wal.Record
	for r, err := range b.log.Records(0) {
		if err != nil {
			b.t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// TestLargeCrash loses the log behind each of its records in turn, and within the mark: a large transaction is there whole or
// not at all, and small ones that came between its pieces are there.
func TestLargeCrash(t *testing.T) {
	a := open(t, t.TempDir(), nil)
	a.small(keyedID, -1)
	txn := a.e.Begin(ReadCommitted)
	a.insert(txn, keyedID, rowsFrom(0, largeRows, filler))
	a.insert(txn, bagID, rowsFrom(7, 1, filler))
	a.insert(txn, bagID, rowsFrom(7, 1, filler))
	if !txn.Large() {
		t.Fatal("the transaction is not large")
	}
	p := &pieceWriter{e: a.e, ctx: t.Context()}
	l := newLargeWrite(txn.order)
	for i, x := range txn.order {
		if err := p.table(x); err != nil {
			t.Fatal(err)
		}
		a.small(bagID, int64(-10-i))
		if n := len(a.contents(keyedID)); n != 1 { // nobody waits for the mark
			t.Fatalf("%d rows are visible between the pieces, want 1", n)
		}
	}
	pos, wait, err := a.e.mark(l, p, txn, nil, 0)
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	a.small(keyedID, -2)
	records := a.records()
	if p.n < 3 || len(records) != int(p.n)+5 {
		t.Fatalf("%d records, %d pieces", len(records), p.n)
	}
	check := func(name string, n int, dir string) {
		b := open(t, dir, nil)
		keyed, bag := b.contents(keyedID), b.contents(bagID)
		want := map[int64]int{}
		for _, r := range records[:n] {
			switch {
			case r.Pos == 1:
				want[-1] = 1
			case r.Pos == pos:
				for i := range int64(largeRows) {
					want[i] = 1
				}
			case r.Pos == pos+1:
				want[-2] = 1
			}
		}
		if !maps.Equal(keyed, want) {
			t.Errorf("%s: %d rows in the table with a key, want %d", name, len(keyed), len(want))
		}
		if twice := bag[7]; n >= int(pos) && twice != 2 || n < int(pos) && twice != 0 {
			t.Errorf("%s: %d rows of the large transaction in the table without a key", name, twice)
		}
		if n >= int(pos)-1 && (bag[-10] != 1 || bag[-11] != 1) {
			t.Errorf("%s: a small transaction between pieces is lost: %v", name, bag)
		}
	}
	for n := range records {
		dir := t.TempDir()
		writeLog(t, dir, records[:n+1])
		check(fmt.Sprintf("%d records", n+1), n+1, dir)
	}
	for _, cut := range []int64{1, 5, 20} {
		dir := t.TempDir()
		writeLog(t, dir, records[:pos])
		tear(t, dir, cut)
		check(fmt.Sprintf("mark without its last %d bytes", cut), int(pos)-1, dir)
	}
}

// writeLog makes a log of records, each synced by itself.
func writeLog(t *testing.T, dir string, records []wal.Record) {
	t.Helper()
	fs, err := wal.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := wal.Open(wal.Options{FS: fs, SegmentBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if pos, err := l.Append([][]byte{r.Payload}); err != nil || pos != r.Pos {
			t.Fatal(pos, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// tear cuts bytes off the end of a log.
func tear(t *testing.T, dir string, bytes int64) {
	t.Helper()
	fs, err := wal.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.List()
	if err != nil {
		t.Fatal(err)
	}
	last := slices.Max(names)
	size, err := fs.Size(last)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fs.Open(last)
	if err == nil {
		err = f.Truncate(size - bytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLogIsKeptForPieces takes checkpoints between the pieces of a transaction and its mark, and between the mark and the
// epoch that takes it.
func TestLogIsKeptForPieces(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir, nil)
	txn := a.e.Begin(ReadCommitted)
	a.insert(txn, keyedID, rowsFrom(0, largeRows, filler))
	p := &pieceWriter{e: a.e, ctx: t.Context()}
	l := newLargeWrite(txn.order)
	if err := p.table(txn.order[0]); err != nil {
		t.Fatal(err)
	}
	a.small(keyedID, -1)
	if err := a.e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	last := a.commits[len(a.commits)-1]
	if first := a.log.First(); first > p.first || last.LogPos <= p.first {
		t.Fatalf("the log begins at %d, the pieces at %d, the checkpoint holds %d", first, p.first, last.LogPos)
	}
	pos, wait, err := a.e.mark(l, p, txn, nil, 0)
	if err == nil {
		err = wait()
	}
	if err != nil {
		t.Fatal(err)
	}
	txn.Abort()
	last.Jobs = nil // the store is not kept in this test
	copied := t.TempDir()
	writeLog(t, copied, a.records())
	b := open(t, copied, &last)
	if n := len(b.contents(keyedID)); n != largeRows {
		t.Errorf("%d rows after a crash behind the checkpoint, want %d", n, largeRows)
	}
	low := b.e.dml.needed(last.LogPos)
	b.mu.Lock()
	reached := slices.ContainsFunc(b.commits, func(c Commit) bool { return c.LogPos >= pos }) // its first checkpoint may be there already
	b.mu.Unlock()
	if low != p.first && !reached {
		t.Errorf("after the crash the log is needed from %d on, the pieces begin at %d", low, p.first)
	}
	if err := a.e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.small(keyedID, -2)
	if err := a.e.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(a.e.dml.kept) != 0 || a.e.dml.needed(pos) != pos+1 {
		t.Errorf("the log is still kept for %v", a.e.dml.kept)
	}
	if len(a.e.dml.large) != 0 {
		t.Error("what is visible everywhere is still remembered")
	}
}

// TestLargeRollback leaves nothing of a large transaction.
func TestLargeRollback(t *testing.T) {
	a := open(t, t.TempDir(), nil)
	txn := a.e.Begin(ReadCommitted)
	a.insert(txn, keyedID, rowsFrom(0, largeRows, filler))
	txn.Abort()
	a.small(keyedID, 5)
	if got := a.contents(keyedID); !maps.Equal(got, map[int64]int{5: 1}) {
		t.Errorf("%d rows, want one", len(got))
	}
	if n := len(a.records()); n != 1 {
		t.Errorf("%d records in the log, want one", n)
	}
}

// TestLargeConflicts lets a large and a small transaction write one key, in both orders.
func TestLargeConflicts(t *testing.T) {
	a := open(t, t.TempDir(), nil)
	begin := func() *Txn {
		txn := a.e.Begin(ReadCommitted)
		a.insert(txn, keyedID, rowsFrom(0, largeRows, filler))
		return txn
	}
	first := begin()
	a.small(keyedID, 3)
	records := len(a.records())
	if _, err := first.Commit(t.Context()); !isConflict(err) {
		t.Errorf("a key was written by a small transaction meanwhile: %v", err)
	}
	if got := a.contents(keyedID); len(got) != 1 || len(a.records()) != records {
		t.Errorf("%d rows, %d more records", len(got), len(a.records())-records)
	}

	b := open(t, t.TempDir(), nil)
	a = b
	large := begin()
	small := b.e.Begin(ReadCommitted)
	b.insert(small, keyedID, rowsFrom(3, 1, "small"))
	beside := b.e.Begin(ReadCommitted)
	b.insert(beside, keyedID, rowsFrom(-3, 1, "small"))
	other := begin()
	if _, err := large.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, txn := range map[string]*Txn{"small": small, "large": other} {
		if _, err := txn.Commit(t.Context()); !isConflict(err) {
			t.Errorf("a %s transaction writes a key of a large one that it has not seen: %v", name, err)
		}
	}
	if _, err := beside.Commit(t.Context()); err != nil {
		t.Errorf("a transaction with other keys: %v", err)
	}
	if n := len(b.contents(keyedID)); n != largeRows+1 {
		t.Errorf("%d rows, want %d", n, largeRows+1)
	}
}

func isConflict(err error) bool {
	_, ok := Conflict(err)
	return ok
}

// TestLargeEqualsModel runs random writes with savepoints, in transactions that become large at a random moment, beside a model;
// after each commit, and after a restart from the log, the tables are what the model says.
func TestLargeEqualsModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := open(t, t.TempDir(), nil)
		committed := model{keyedID: {}, bagID: {}}
		for range 4 {
			txn := a.e.Begin(ReadCommitted)
			now := committed.clone()
			var marks []Mark
			var then []model
			for range 30 {
				id := []catalog.ID{keyedID, bagID}[r.IntN(2)]
				switch r.IntN(12) {
				case 0:
					marks, then = append(marks, txn.Mark()), append(then, now.clone())
				case 1:
					if n := len(marks); n > 0 {
						k := r.IntN(n)
						txn.Rollback(marks[k])
						now = then[k].clone()
						marks, then = marks[:k+1], then[:k+1]
					}
				case 2:
					if !txn.Empty() {
						txn.enlarge()
					}
				default:
					a.change(txn, id, int64(r.IntN(40)), r.IntN(3), now)
				}
			}
			if r.IntN(4) == 0 {
				txn.Abort()
				continue
			}
			if _, err := txn.Commit(t.Context()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			committed = now
			a.compare(seed, "commit", committed)
		}
		dir := t.TempDir()
		writeLog(t, dir, a.records())
		open(t, dir, nil).compare(seed, "restart", committed)
	}
}

// model is what tables hold: rows by id.
type model map[catalog.ID]map[int64]int

func (m model) clone() model {
	out := model{}
	for id, rows := range m {
		out[id] = maps.Clone(rows)
	}
	return out
}

// change inserts, deletes or replaces a row.
func (b *bench) change(txn *Txn, id catalog.ID, row int64, what int, m model) {
	b.t.Helper()
	view, pos, err := txn.view(b.t.Context(), []catalog.ID{id}, b.query())
	if err != nil {
		b.t.Fatal(err)
	}
	defer view.Close()
	w := txn.table(b.snap.Relations[id], b.snap, view, pos)
	c := rowsFrom(row, 1, "x")
	do := func(f func(*delta.Chunk, int) error, by int) {
		if err := f(c, 0); err != nil {
			b.t.Fatal(err)
		}
		if m[id][row] += by; m[id][row] == 0 {
			delete(m[id], row)
		}
	}
	there := m[id][row] > 0
	if there && what != 0 {
		do(w.Delete, -1)
	}
	if what != 1 && (id == bagID || what == 2 || !there) {
		do(w.Insert, 1)
	}
}

func (b *bench) compare(seed uint64, when string, want model) {
	b.t.Helper()
	for id, rows := range want {
		if got := b.contents(id); !maps.Equal(got, rows) {
			b.t.Fatalf("seed %d, after %s: table %d holds %v, want %v", seed, when, id, got, rows)
		}
	}
}
