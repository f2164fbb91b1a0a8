package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/object/objecttest"
	"github.com/millrace/millrace/storage/shard"
)

var (
	ctx   = context.Background()
	quiet = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// newKV starts an etcd in this process. Each test gets an empty one.
func newKV(t *testing.T) clientv3.KV {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Dir = t.TempDir()
	cfg.ListenClientUrls, cfg.ListenPeerUrls = nil, nil
	cfg.TickMs, cfg.ElectionMs = 10, 50
	cfg.UnsafeNoFsync = true
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	client := v3client.New(server.Server)
	t.Cleanup(func() {
		client.Close()
		server.Server.HardStop()
		server.Close()
	})
	return client.KV
}

// faultyKV loses transactions: before they reach etcd, or their answers.
type faultyKV struct {
	clientv3.KV
	mu     sync.Mutex
	before int    // transactions to lose
	after  int    // answers to lose, once before is used up
	lost   func() // called at each loss, if set
}

func (f *faultyKV) lose(text string) (*clientv3.TxnResponse, error) {
	if f.lost != nil {
		f.lost()
	}
	return nil, errors.New(text)
}

type faultyTxn struct {
	clientv3.Txn
	kv *faultyKV
}

func (f *faultyKV) Txn(ctx context.Context) clientv3.Txn { return &faultyTxn{f.KV.Txn(ctx), f} }

func (t *faultyTxn) If(c ...clientv3.Cmp) clientv3.Txn  { t.Txn = t.Txn.If(c...); return t }
func (t *faultyTxn) Then(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Then(o...); return t }
func (t *faultyTxn) Else(o ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(o...); return t }

func (t *faultyTxn) Commit() (*clientv3.TxnResponse, error) {
	t.kv.mu.Lock()
	defer t.kv.mu.Unlock()
	if t.kv.before > 0 {
		t.kv.before--
		return t.kv.lose("lost on the way")
	}
	r, err := t.Txn.Commit()
	if t.kv.after > 0 {
		t.kv.after--
		return t.kv.lose("answer lost")
	}
	return r, err
}

// cluster is a database of two shards that count epochs.
type cluster struct {
	t         *testing.T
	store     object.Store
	committer *Committer
	shards    []*shard.Shard
}

func newCommitter(store object.Store, kv clientv3.KV, term uint64) *Committer {
	return New(Options{Objects: store, KV: kv, Term: term, RetryWait: time.Millisecond, Logger: quiet})
}

// start opens what is committed, as a process does that begins.
func start(t *testing.T, store object.Store, kv clientv3.KV, term uint64) (*cluster, error) {
	t.Helper()
	c := &cluster{t: t, store: store, committer: newCommitter(store, kv, term)}
	g, err := c.committer.Load(ctx)
	if err != nil {
		return nil, err
	}
	manifests := make([]*shard.Manifest, 2)
	if g != nil {
		if manifests, err = c.committer.Manifests(ctx, g); err != nil {
			return nil, err
		}
	}
	incarnation := c.committer.NewIncarnation()
	for i, m := range manifests {
		s, err := shard.Open(ctx, shard.Options{Dir: t.TempDir(), Objects: store, ID: uint64(i), Incarnation: incarnation, Logger: quiet}, m)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.shards = append(c.shards, s)
	}
	return c, nil
}

func (c *cluster) stop() {
	for _, s := range c.shards {
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	}
	c.shards = nil
}

// epoch writes the epoch into each shard and commits it.
func (c *cluster) epoch(ctx context.Context, epoch uint64) error {
	began := c.committer.opts.Now()
	var manifests []*shard.Manifest
	for _, s := range c.shards {
		value := fmt.Appendf(nil, "%d", epoch)
		err := s.Ingest(ctx, slices.Values([]shard.Entry{{Key: []byte("epoch"), Value: value}, {Key: fmt.Appendf(nil, "of-%04d", epoch), Value: value}}))
		if err != nil {
			return err
		}
		m, err := s.Checkpoint(ctx, epoch)
		if err != nil {
			return err
		}
		manifests = append(manifests, m)
	}
	g := &Global{Epoch: epoch, LogPosition: epoch * 10, Jobs: json.RawMessage(fmt.Sprintf(`{"epoch":%d}`, epoch))}
	return c.committer.Commit(ctx, g, manifests, began)
}

// check makes sure that all that is committed is of one epoch, which it returns.
func (c *cluster) check() uint64 {
	c.t.Helper()
	g := c.committer.Current()
	if g == nil {
		return 0
	}
	if g.LogPosition != g.Epoch*10 || string(g.Jobs) != fmt.Sprintf(`{"epoch":%d}`, g.Epoch) {
		c.t.Errorf("global of epoch %d holds %+v", g.Epoch, g)
	}
	for i, s := range c.shards {
		v, err := s.Snapshot()
		if err != nil {
			c.t.Fatal(err)
		}
		value, _, err := v.Get([]byte("epoch"))
		if err != nil || string(value) != fmt.Sprint(g.Epoch) {
			c.t.Errorf("shard %d holds epoch %s, the global %d, %v", i, value, g.Epoch, err)
		}
		v.Close()
	}
	return g.Epoch
}

func mustStart(t *testing.T, store object.Store, kv clientv3.KV, term uint64) *cluster {
	t.Helper()
	c, err := start(t, store, kv, term)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) mustEpoch(epoch uint64) {
	c.t.Helper()
	if err := c.epoch(ctx, epoch); err != nil {
		c.t.Fatal(err)
	}
}

func TestCommitAndLoad(t *testing.T) {
	store, kv := &objecttest.Mem{}, newKV(t)
	c := mustStart(t, store, kv, 1)
	if c.committer.Current() != nil {
		t.Error("a new database has a checkpoint")
	}
	for epoch := uint64(10); epoch < 15; epoch++ {
		c.mustEpoch(epoch)
	}
	if err := c.committer.Commit(ctx, &Global{Epoch: 14}, nil, time.Now()); err == nil {
		t.Error("an epoch can be committed twice")
	}
	c.stop()
	c = mustStart(t, store, kv, 2)
	defer c.stop()
	if got := c.check(); got != 14 {
		t.Errorf("recovered epoch %d", got)
	}
	c.mustEpoch(15)
}

// Whatever operation on objects is the last before the process dies, and whether or not it took
// effect: the next start finds the old commit or the new one, whole, and goes on.
func TestKillAtEachObjectOperation(t *testing.T) {
	kv := newKV(t)
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			clearKeys(t, kv)
			mem := &objecttest.Mem{}
			store := objecttest.NewFaulty(mem)
			c := mustStart(t, store, kv, 1)
			c.mustEpoch(1)
			store.FailAt(n, after, true)
			err := c.epoch(ctx, 2)
			store.FailAt(0, false, false)
			c.stop()

			c = mustStart(t, mem, kv, 2)
			got := c.check()
			if err == nil && got != 2 || err != nil && got != 1 {
				t.Errorf("killed at operation %d, after %v: commit says %v, recovered epoch is %d", n, after, err, got)
			}
			c.mustEpoch(3)
			c.stop()
			if err == nil {
				if n < 5 {
					t.Errorf("an epoch takes %d operations only", n-1)
				}
				break
			}
		}
	}
}

func clearKeys(t *testing.T, kv clientv3.KV) {
	t.Helper()
	if _, err := kv.Delete(ctx, "checkpoint/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
}

func TestLostTransactions(t *testing.T) {
	store, kv := &objecttest.Mem{}, &faultyKV{KV: newKV(t)}
	c := mustStart(t, store, kv, 1)
	c.mustEpoch(1)
	kv.before = 2
	c.mustEpoch(2)
	kv.after = 2 // the first takes effect, the second finds our own value, the third says so
	c.mustEpoch(3)
	if got := c.check(); got != 3 {
		t.Errorf("epoch is %d", got)
	}

	// Nobody answers until the caller gives up: either outcome is possible, and Load tells.
	for _, c2 := range []struct {
		name          string
		before, after int
		want          uint64
	}{{"not sent", 1 << 30, 0, 3}, {"answer lost", 0, 1 << 30, 5}} {
		t.Run(c2.name, func(t *testing.T) {
			short, cancel := context.WithCancel(ctx)
			defer cancel()
			kv.before, kv.after = c2.before, c2.after
			losses := 0
			kv.lost = func() { // the caller gives up in the middle of trying
				if losses++; losses == 3 {
					cancel()
				}
			}
			defer func() { kv.lost = nil }()
			err := c.epoch(short, c2.want/5+4)
			if !errors.Is(err, ErrUnknown) {
				t.Errorf("commit gives %v", err)
			}
			kv.before, kv.after = 0, 0
			g, err := c.committer.Load(ctx)
			if err != nil || g.Epoch != c2.want {
				t.Errorf("load gives %+v, %v", g, err)
			}
		})
	}
	c.stop()
	c = mustStart(t, store, kv, 2)
	defer c.stop()
	if got := c.check(); got != 5 {
		t.Errorf("recovered epoch %d", got)
	}
	c.mustEpoch(6)
}

// The machine is lost: an empty etcd, the objects are there.
func TestLostMachine(t *testing.T) {
	store := objecttest.NewFaulty(&objecttest.Mem{})
	oldKV := newKV(t)
	old := mustStart(t, store, oldKV, 7)
	old.mustEpoch(1)
	old.mustEpoch(2)

	c := mustStart(t, store, newKV(t), 1)
	if got := c.check(); got != 2 {
		t.Errorf("recovered epoch %d", got)
	}
	c.mustEpoch(3)
	// The old machine was not lost after all: it must notice, and never commit again.
	if err := old.epoch(ctx, 3); !errors.Is(err, ErrFenced) {
		t.Errorf("the old machine's commit gives %v", err)
	}
	if err := old.epoch(ctx, 4); !errors.Is(err, ErrFenced) {
		t.Errorf("the old machine's second commit gives %v", err)
	}
	c.mustEpoch(4)
	if got := c.check(); got != 4 {
		t.Errorf("epoch is %d", got)
	}
	old.stop()
	c.stop()
}

func TestIncarnationsGrowAndDiffer(t *testing.T) {
	a, b := &Committer{}, &Committer{}
	last := uint64(0)
	differ := false
	for range 20 {
		i := a.NewIncarnation()
		if i <= last {
			t.Errorf("incarnation %d follows %d", i, last)
		}
		differ = differ || i != b.NewIncarnation()
		last = i
	}
	if !differ {
		t.Error("two servers count alike")
	}
	b.current = &Global{Shards: []ShardRef{{Incarnation: 1 << 60}}}
	if b.NewIncarnation() <= 1<<60 {
		t.Error("an incarnation is not above the manifest's")
	}
}

// The old machine slept so long that the numbers after its own have been collected.
func TestSleeperIsFenced(t *testing.T) {
	clock := time.Unix(1_000_000_000, 0)
	store := &objecttest.Mem{Now: func() time.Time { return clock }}
	sleeper := mustStart(t, store, newKV(t), 1)
	sleeper.committer.opts.Now = store.Now
	sleeper.mustEpoch(1)
	c := mustStart(t, store, newKV(t), 2)
	c.committer.opts.Now = store.Now
	for epoch := uint64(2); epoch < 10; epoch++ {
		clock = clock.Add(10 * time.Minute)
		c.mustEpoch(epoch)
	}
	if _, err := c.committer.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if names := store.Names(globalPrefix); slices.Contains(names, globalName(2)) {
		t.Fatalf("number 2 is still there: %v", names)
	}
	if err := sleeper.epoch(ctx, 2); !errors.Is(err, ErrFenced) {
		t.Errorf("the sleeper's commit gives %v", err)
	}
	sleeper.stop()
	c.stop()
}

// A leader that has been replaced cannot commit, however far it got.
func TestNewLeaderFencesTheOld(t *testing.T) {
	store, kv := &objecttest.Mem{}, newKV(t)
	old := mustStart(t, store, kv, 1)
	old.mustEpoch(1)
	young := mustStart(t, store, kv, 2)
	young.mustEpoch(2)
	if err := old.epoch(ctx, 2); !errors.Is(err, ErrFenced) {
		t.Errorf("the old leader's commit gives %v", err)
	}
	// Also when the old one was first with the object and only then lost its key.
	if _, err := kv.Put(ctx, "leader", "3"); err != nil {
		t.Fatal(err)
	}
	young.committer.opts.Conditions = []clientv3.Cmp{clientv3.Compare(clientv3.Value("leader"), "=", "2")}
	if err := young.epoch(ctx, 3); !errors.Is(err, ErrFenced) {
		t.Errorf("the commit of a leader without its key gives %v", err)
	}
	third := mustStart(t, store, kv, 3)
	if got := third.check(); got != 2 {
		t.Errorf("recovered epoch %d", got)
	}
	third.mustEpoch(3) // its number was taken by the one that failed
	if n := third.committer.Current().Number; n != 4 {
		t.Errorf("number is %d", n)
	}
	old.stop()
	young.stop()
	third.stop()
}

func TestLoadRefusesDamage(t *testing.T) {
	store, kv := &objecttest.Mem{}, newKV(t)
	c := mustStart(t, store, kv, 1)
	c.mustEpoch(1)
	c.stop()
	name := c.committer.Current().ObjectName()
	good, _ := store.Get(ctx, name)
	for what, data := range map[string][]byte{"changed": append([]byte(" "), good...), "cut": good[:10]} {
		store.Put(ctx, name, data)
		if _, err := newCommitter(store, kv, 2).Load(ctx); err == nil {
			t.Errorf("%s global is accepted", what)
		}
	}
	store.Delete(ctx, name)
	if _, err := newCommitter(store, kv, 2).Load(ctx); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("a global that is missing gives %v", err)
	}
	store.Put(ctx, name, []byte(strings.Replace(string(good), `"format":1`, `"format":9`, 1)))
	clearKeys(t, kv)
	if _, err := newCommitter(store, kv, 2).Load(ctx); err == nil || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("a later format gives %v", err)
	}
}

// Collection deletes what nobody needs, and only that: after each, every kept global opens whole.
func TestCollect(t *testing.T) {
	clock := time.Unix(1_000_000_000, 0)
	mem := &objecttest.Mem{Now: func() time.Time { return clock }}
	kv := newKV(t)
	c := mustStart(t, mem, kv, 1)
	defer c.stop()
	c.committer.opts.Now = mem.Now
	if done, err := c.committer.Collect(ctx); err != nil || done != (Collected{}) {
		t.Errorf("before the first commit: %+v, %v", done, err)
	}
	for epoch := uint64(1); epoch <= 30; epoch++ {
		c.mustEpoch(epoch)
		if epoch == 5 {
			if _, err := c.committer.Pin(ctx, "backfill"); err != nil {
				t.Fatal(err)
			}
		}
		clock = clock.Add(time.Minute)
	}
	orphan := "sst/0/999-000001.sst"
	mem.Put(ctx, orphan, []byte("of a checkpoint that is under way"))
	done, err := c.committer.Collect(ctx)
	if err != nil || done.Deleted == 0 {
		t.Errorf("collected %+v, %v", done, err)
	}
	// Grace: what is younger than 15 minutes stays, so epochs 15 to 30 do; and the pin, and a name of ours.
	names := mem.Names(globalPrefix)
	if slices.Contains(names, globalName(4)) || !slices.Contains(names, globalName(5)) || slices.Contains(names, globalName(10)) || !slices.Contains(names, globalName(29)) {
		t.Errorf("globals are %v", names)
	}
	clock = clock.Add(24 * time.Hour)
	if done, err = c.committer.Collect(ctx); err != nil || done.Deleted != 0 {
		t.Errorf("a day later without a commit: %+v, %v", done, err)
	}
	c.mustEpoch(31)
	if _, err = c.committer.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if names := mem.Names(globalPrefix); len(names) != 4 { // three, and the pin
		t.Errorf("globals are %v", names)
	}
	if slices.Contains(mem.Names("sst/"), orphan) {
		t.Error("the orphan is still there")
	}
	pinned, err := c.committer.Pinned(ctx, "backfill")
	if err != nil || pinned.Epoch != 5 {
		t.Fatalf("pinned is %+v, %v", pinned, err)
	}
	for _, g := range []*Global{pinned, c.committer.Current()} {
		manifests, err := c.committer.Manifests(ctx, g)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range manifests {
			for _, name := range m.Objects() {
				if _, err := mem.Stat(ctx, name); err != nil {
					t.Errorf("epoch %d lacks %v", g.Epoch, err)
				}
			}
		}
	}
	if err := c.committer.Unpin(ctx, "backfill"); err != nil {
		t.Fatal(err)
	}
	if _, err = c.committer.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	if g, err := c.committer.Pinned(ctx, "backfill"); g != nil || err != nil {
		t.Errorf("pin is still %v, %v", g, err)
	}
	if slices.Contains(mem.Names(globalPrefix), globalName(5)) {
		t.Error("the global stays without its pin")
	}
}

// A checkpoint fails after some of its tables were uploaded, and nothing works for a long time. The
// next one names those tables, so they must still be there.
func TestCollectSparesFailedUploads(t *testing.T) {
	clock := time.Unix(1_000_000_000, 0)
	mem := &objecttest.Mem{Now: func() time.Time { return clock }}
	store := objecttest.NewFaulty(mem)
	c := mustStart(t, store, newKV(t), 1)
	defer c.stop()
	c.committer.opts.Now = mem.Now
	c.mustEpoch(1)
	clock = clock.Add(time.Hour)
	store.FailAt(2, false, false) // the second shard's table
	if err := c.epoch(ctx, 2); err == nil {
		t.Fatal("epoch 2 is committed")
	}
	clock = clock.Add(24 * time.Hour)
	if _, err := c.committer.Collect(ctx); err != nil {
		t.Fatal(err)
	}
	c.mustEpoch(3)
	manifests, err := c.committer.Manifests(ctx, c.committer.Current())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		for _, name := range m.Objects() {
			if _, err := mem.Stat(ctx, name); err != nil {
				t.Error(err)
			}
		}
	}
}
