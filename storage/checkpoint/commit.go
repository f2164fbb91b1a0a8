package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/shard"
)

// Keys in etcd, below the client's prefix.
const (
	storeKey   = "checkpoint/store"   // identity of this metadata store, a random number
	currentKey = "checkpoint/current" // a pointer, in JSON
	pinPrefix  = "checkpoint/pins/"   // name of a pin → number of a global that garbage collection spares
)

// Errors of Commit. After any other the caller may call Commit again with a later epoch.
var (
	// ErrFenced says that somebody else leads, owns a shard or writes to the same object store. The
	// global was not committed, and this Committer will never commit again.
	ErrFenced = errors.New("another server has taken over")
	// ErrUnknown says that ctx ended before etcd told whether the global was committed. Call Load
	// and, if it returns another one, discard every shard and open it from that.
	ErrUnknown = errors.New("outcome of the commit is unknown")
)

// Options configures a Committer. Objects, KV and Term have no default.
type Options struct {
	Objects object.Store
	KV      clientv3.KV
	Term    uint64 // of leadership; grows with each leader of this metadata store
	// Conditions are added to each commit's transaction: that the leader's key is ours, say.
	Conditions []clientv3.Cmp

	Keep  int           // newest globals that garbage collection keeps; 3 by default
	Grace time.Duration // age below which nothing is garbage; 15 minutes by default

	RetryWait time.Duration    // between attempts to reach etcd; 100 ms by default
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: slog.Default
}

// pointer is the value of currentKey.
type pointer struct {
	Number uint64 `json:"number"`
	Epoch  uint64 `json:"epoch"`
	Term   uint64 `json:"term"`
	CRC32C uint32 `json:"crc32c"` // of the object
}

// Committer commits checkpoints and collects garbage. Load comes first.
type Committer struct {
	opts  Options
	store string // identity of the metadata store

	current  *Global // nil: none yet
	revision int64   // ModRevision of currentKey; 0: absent
	next     uint64  // number of the next global
	fenced   bool
	loaded   bool

	incarnation uint64 // the last that NewIncarnation returned

	// committed is when work on the last committed checkpoint of this Committer began: nothing that
	// was uploaded before then and that no kept global names can be named by a later one. Zero:
	// there was none.
	committed time.Time
	looked    time.Time                  // when foreign globals were last searched for
	manifests map[string]*shard.Manifest // of kept globals, by object; for garbage collection
}

// New returns a Committer for a term of leadership.
func New(opts Options) *Committer {
	if opts.Keep == 0 {
		opts.Keep = 3
	}
	if opts.Grace == 0 {
		opts.Grace = 15 * time.Minute
	}
	if opts.RetryWait == 0 {
		opts.RetryWait = 100 * time.Millisecond
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	return &Committer{opts: opts, manifests: map[string]*shard.Manifest{}}
}

// Current returns the global that was loaded or committed last; nil when there is none.
func (c *Committer) Current() *Global { return c.current }

// Commit makes g the current global: its epoch, jobs, catalog and log position, and the manifests of
// all shards, whose tables have been uploaded. began is when the work on this checkpoint began,
// before any of its tables was uploaded. It returns nil when g is committed, and then g is immutable.
//
// Manifests that the current global names are not written again. When the answer of etcd is lost, it
// asks until ctx ends.
func (c *Committer) Commit(ctx context.Context, g *Global, manifests []*shard.Manifest, began time.Time) error {
	if err := c.commit(ctx, g, manifests); err != nil {
		if errors.Is(err, ErrFenced) {
			c.fenced = true
		}
		return fmt.Errorf("commit checkpoint of epoch %d: %w", g.Epoch, err)
	}
	c.committed = began
	return nil
}

func (c *Committer) commit(ctx context.Context, g *Global, manifests []*shard.Manifest) error {
	switch {
	case !c.loaded:
		return errors.New("nothing has been loaded")
	case c.fenced:
		return ErrFenced
	case c.current != nil && g.Epoch <= c.current.Epoch:
		return fmt.Errorf("epoch is not above %d, which is committed", c.current.Epoch)
	}
	g.Format, g.Store, g.Term = Format, c.store, c.opts.Term
	if err := c.putManifests(ctx, g, manifests); err != nil {
		return err
	}
	data, err := c.putGlobal(ctx, g)
	if err != nil {
		return err
	}
	return c.decide(ctx, g, data)
}

// putUploads bounds the manifests that are written at a time.
const putUploads = 8

// putManifests stores the manifests that the current global does not name and fills g.Shards.
func (c *Committer) putManifests(ctx context.Context, g *Global, manifests []*shard.Manifest) error {
	g.Shards = make([]ShardRef, len(manifests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putUploads)
	for i, m := range manifests {
		group.Go(func() error {
			if c.current != nil {
				if ref, ok := c.current.Shard(m.Shard); ok && ref.Manifest == m.ObjectName() {
					g.Shards[i] = ref
					return nil
				}
			}
			ref, data, err := reference(m)
			if err != nil {
				return err
			}
			g.Shards[i] = ref
			return c.opts.Objects.Put(ctx, ref.Manifest, data)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	slices.SortFunc(g.Shards, func(a, b ShardRef) int {
		if a.Shard < b.Shard {
			return -1
		}
		return 1
	})
	return nil
}

// lookEvery is how long a server may have been away, asleep or cut off, before it searches for globals
// of others above its own number, whose predecessors may have been collected. Well below Grace.
const lookEvery = time.Minute

// putGlobal gives g the next number that is free and creates its object.
func (c *Committer) putGlobal(ctx context.Context, g *Global) ([]byte, error) {
	if now := c.opts.Now().Round(0); now.Sub(c.looked) > lookEvery { // wall time: it runs on in suspend
		if err := c.lookForOthers(ctx); err != nil {
			return nil, err
		}
	}
	for {
		g.Number = c.next
		data, err := g.Encode()
		if err != nil {
			return nil, fmt.Errorf("encode global manifest: %w", err)
		}
		err = c.opts.Objects.PutIfAbsent(ctx, g.ObjectName(), data)
		if err == nil {
			c.looked = c.opts.Now().Round(0)
			return data, nil
		}
		if !errors.Is(err, object.ErrExists) {
			return nil, err
		}
		there, err := c.opts.Objects.Get(ctx, g.ObjectName())
		if err != nil {
			return nil, err
		}
		if bytes.Equal(there, data) {
			return data, nil
		}
		if err := c.mayPass(there); err != nil {
			return nil, err
		}
		c.next++
	}
}

// lookForOthers makes sure that no global above our number is of another metadata store.
func (c *Committer) lookForOthers(ctx context.Context) error {
	for info, err := range c.opts.Objects.List(ctx, globalPrefix) {
		if err != nil {
			return err
		}
		number, ok := globalNumber(info.Name)
		if !ok || number < c.next {
			continue
		}
		data, err := c.opts.Objects.Get(ctx, info.Name)
		if err != nil {
			return err
		}
		if err := c.mayPass(data); err != nil {
			return err
		}
		c.next = number + 1
	}
	return nil
}

// mayPass tells whether a global that was never committed is our own metadata store's, left by a
// commit that went no further; then its number is skipped. What belongs to a later term of it, or to
// another store, ends us.
func (c *Committer) mayPass(data []byte) error {
	there, err := DecodeGlobal(data)
	if err != nil {
		return err
	}
	if there.Store != c.store || there.Term > c.opts.Term {
		return fmt.Errorf("%w: global manifest %d of epoch %d is of term %d of metadata store %s, we are term %d of %s",
			ErrFenced, there.Number, there.Epoch, there.Term, there.Store, c.opts.Term, c.store)
	}
	return nil
}

// decide runs the transaction until its outcome is known.
func (c *Committer) decide(ctx context.Context, g *Global, data []byte) error {
	p := pointer{Number: g.Number, Epoch: g.Epoch, Term: g.Term, CRC32C: sum(data)}
	value, err := json.Marshal(p)
	if err != nil {
		return err
	}
	conditions := append([]clientv3.Cmp{
		clientv3.Compare(clientv3.ModRevision(currentKey), "=", c.revision),
		clientv3.Compare(clientv3.Value(storeKey), "=", c.store),
	}, c.opts.Conditions...)
	for {
		// To send it again is safe: if the first one took effect, the second does not, and its
		// Get returns our own value.
		r, err := c.opts.KV.Txn(ctx).If(conditions...).
			Then(clientv3.OpPut(currentKey, string(value))).
			Else(clientv3.OpGet(currentKey)).Commit()
		if err == nil {
			revision := r.Header.Revision
			if !r.Succeeded {
				kvs := r.Responses[0].GetResponseRange().Kvs
				if len(kvs) == 0 || string(kvs[0].Value) != string(value) {
					return ErrFenced
				}
				revision = kvs[0].ModRevision
			}
			c.current, c.revision, c.next = g, revision, g.Number+1
			return nil
		}
		if !c.pause(ctx) {
			return fmt.Errorf("%w: %w", ErrUnknown, err)
		}
		c.opts.Logger.Warn("etcd did not answer a commit; asking again", "epoch", g.Epoch, "err", err)
	}
}

// pause waits before etcd is asked again; false: ctx has ended.
func (c *Committer) pause(ctx context.Context) bool {
	timer := time.NewTimer(c.opts.RetryWait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// newStoreID names a metadata store.
func newStoreID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
