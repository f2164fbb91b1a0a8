package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/shard"
)

// Load finds the global to go on from: the current one of etcd, or, when etcd knows of none, the
// newest of the object store. It returns nil when there is neither: a new database. Call it before
// the first Commit, and after ErrUnknown.
func (c *Committer) Load(ctx context.Context) (*Global, error) {
	if err := c.load(ctx); err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	c.loaded = true
	return c.current, nil
}

func (c *Committer) load(ctx context.Context) error {
	p, err := c.readStore(ctx)
	if err != nil {
		return err
	}
	c.current, c.next = nil, 1
	if p != nil {
		return c.loadPointer(ctx, *p)
	}
	return c.loadNewest(ctx)
}

// readStore reads, or creates, the identity of the metadata store, and reads the pointer.
func (c *Committer) readStore(ctx context.Context) (*pointer, error) {
	id := newStoreID()
	r, err := c.opts.KV.Txn(ctx).
		If(clientv3.Compare(clientv3.CreateRevision(storeKey), "=", 0)).
		Then(clientv3.OpPut(storeKey, id), clientv3.OpGet(storeKey), clientv3.OpGet(currentKey)).
		Else(clientv3.OpGet(storeKey), clientv3.OpGet(storeKey), clientv3.OpGet(currentKey)).Commit()
	if err != nil {
		return nil, fmt.Errorf("read the committed epoch from etcd: %w", err)
	}
	c.store = string(r.Responses[1].GetResponseRange().Kvs[0].Value)
	kvs := r.Responses[2].GetResponseRange().Kvs
	if len(kvs) == 0 {
		c.revision = 0
		return nil, nil
	}
	c.revision = kvs[0].ModRevision
	var p pointer
	if err := json.Unmarshal(kvs[0].Value, &p); err != nil {
		return nil, fmt.Errorf("decode the committed epoch: %w", err)
	}
	return &p, nil
}

func (c *Committer) loadPointer(ctx context.Context, p pointer) error {
	data, err := c.opts.Objects.Get(ctx, globalName(p.Number))
	if err != nil {
		if errors.Is(err, object.ErrNotFound) {
			return fmt.Errorf("the committed checkpoint is not in this object store: %w", err)
		}
		return err
	}
	if sum(data) != p.CRC32C {
		return fmt.Errorf("object %q is not what was committed: its checksum differs", globalName(p.Number))
	}
	g, err := DecodeGlobal(data)
	if err != nil {
		return err
	}
	c.current, c.next = g, g.Number+1
	return nil
}

// loadNewest takes the global with the greatest number. It may never have been committed, but it was
// written after all that it names, and nobody can have seen a later state.
func (c *Committer) loadNewest(ctx context.Context) error {
	var newest uint64
	for info, err := range c.opts.Objects.List(ctx, globalPrefix) {
		if err != nil {
			return err
		}
		if number, ok := globalNumber(info.Name); ok {
			newest = max(newest, number)
		}
	}
	if newest == 0 {
		return nil
	}
	data, err := c.opts.Objects.Get(ctx, globalName(newest))
	if err != nil {
		return err
	}
	g, err := DecodeGlobal(data)
	if err != nil {
		return err
	}
	c.opts.Logger.Warn("metadata store is empty: going on from the newest checkpoint in the object store", "epoch", g.Epoch, "number", g.Number)
	c.current, c.next = g, g.Number+1
	return nil
}

// NewIncarnation returns a number for opening shards: above all that the current global and earlier
// calls know of, with a random lower half, because a server that believes itself the only one (see
// ErrFenced) counts on from the same number and uploads tables before it finds out.
func (c *Committer) NewIncarnation() uint64 {
	newest := c.incarnation
	if c.current != nil {
		for _, s := range c.current.Shards {
			newest = max(newest, s.Incarnation)
		}
	}
	c.incarnation = (newest>>32+1)<<32 | uint64(rand.Uint32())
	return c.incarnation
}

// Manifests reads the manifests of a global's shards, in the order of g.Shards.
func (c *Committer) Manifests(ctx context.Context, g *Global) ([]*shard.Manifest, error) {
	manifests := make([]*shard.Manifest, len(g.Shards))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(putUploads)
	for i, ref := range g.Shards {
		group.Go(func() (err error) {
			manifests[i], err = c.manifest(ctx, ref)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read manifests of epoch %d: %w", g.Epoch, err)
	}
	return manifests, nil
}

func (c *Committer) manifest(ctx context.Context, ref ShardRef) (*shard.Manifest, error) {
	data, err := c.opts.Objects.Get(ctx, ref.Manifest)
	if err != nil {
		return nil, err
	}
	if sum(data) != ref.CRC32C {
		return nil, fmt.Errorf("object %q is not what was committed: its checksum differs", ref.Manifest)
	}
	return shard.DecodeManifest(data)
}
