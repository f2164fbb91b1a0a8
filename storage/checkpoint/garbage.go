package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/shard"
)

// Collected says what a garbage collection did.
type Collected struct {
	Kept    int   // objects that something names, or that are too young
	Deleted int   // objects
	Bytes   int64 // in them
}

// deletes bounds the deletions at a time.
const deletes = 4

// Collect deletes the objects that no kept global names: the newest Keep and those that are pinned.
// It spares what is younger than Grace, and what was uploaded since the work on the last committed
// checkpoint began: a checkpoint that failed may have uploaded tables that the next one names. So it
// does nothing before the first commit.
func (c *Committer) Collect(ctx context.Context) (Collected, error) {
	if c.committed.IsZero() || c.fenced {
		return Collected{}, nil
	}
	done, err := c.collect(ctx)
	if err != nil {
		return done, fmt.Errorf("collect garbage: %w", err)
	}
	return done, nil
}

func (c *Committer) collect(ctx context.Context) (Collected, error) {
	// What is listed first is judged by what is kept later, so nothing that is committed meanwhile
	// can be missed: Commit and Collect do not run at the same time.
	globals, err := c.list(ctx, globalPrefix)
	if err != nil {
		return Collected{}, err
	}
	kept, err := c.keptGlobals(ctx, globals)
	if err != nil {
		return Collected{}, err
	}
	named, err := c.namedBy(ctx, kept)
	if err != nil {
		return Collected{}, err
	}
	cutoff := c.opts.Now()
	if c.committed.Before(cutoff) {
		cutoff = c.committed
	}
	cutoff = cutoff.Add(-c.opts.Grace)

	done := Collected{}
	// Whoever names goes before what is named, so that a global in the store is always whole.
	for _, prefix := range []string{globalPrefix, "ckpt/", "sst/"} {
		infos := globals
		if prefix != globalPrefix {
			if infos, err = c.list(ctx, prefix); err != nil {
				return done, err
			}
		}
		if err := c.deleteUnnamed(ctx, infos, named, cutoff, &done); err != nil {
			return done, err
		}
	}
	return done, nil
}

func (c *Committer) list(ctx context.Context, prefix string) (infos []object.Info, err error) {
	for info, err := range c.opts.Objects.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// keptGlobals returns the numbers of the globals to keep. Those above the current one are either not
// committed or none of our business; they are kept until their time has come.
func (c *Committer) keptGlobals(ctx context.Context, infos []object.Info) (map[uint64]bool, error) {
	kept := map[uint64]bool{c.current.Number: true}
	var older []uint64
	for _, info := range infos {
		number, ok := globalNumber(info.Name)
		if ok && number > c.current.Number {
			kept[number] = true
		} else if ok {
			older = append(older, number)
		}
	}
	slices.Sort(older)
	for _, number := range older[max(0, len(older)-c.opts.Keep):] {
		kept[number] = true
	}
	r, err := c.opts.KV.Get(ctx, pinPrefix, clientv3.WithPrefix())
	if err != nil {
		return nil, fmt.Errorf("read pins from etcd: %w", err)
	}
	for _, kv := range r.Kvs {
		number, err := strconv.ParseUint(string(kv.Value), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("decode pin %s: %w", kv.Key, err)
		}
		kept[number] = true
	}
	return kept, nil
}

// namedBy returns the names of all objects that the globals need.
func (c *Committer) namedBy(ctx context.Context, numbers map[uint64]bool) (map[string]bool, error) {
	named := map[string]bool{}
	manifests := map[string]*shard.Manifest{}
	for number := range numbers {
		name := globalName(number)
		data, err := c.opts.Objects.Get(ctx, name)
		if errors.Is(err, object.ErrNotFound) && number != c.current.Number {
			continue // a pin that outlived its global
		}
		if err != nil {
			return nil, err
		}
		g, err := DecodeGlobal(data)
		if err != nil {
			return nil, err
		}
		named[name] = true
		for _, ref := range g.Shards {
			m := c.manifests[ref.Manifest]
			if m == nil {
				if m, err = c.manifest(ctx, ref); err != nil {
					return nil, err
				}
			}
			manifests[ref.Manifest], named[ref.Manifest] = m, true
			for _, table := range m.Objects() {
				named[table] = true
			}
		}
	}
	c.manifests = manifests
	return named, nil
}

func (c *Committer) deleteUnnamed(ctx context.Context, infos []object.Info, named map[string]bool, cutoff time.Time, done *Collected) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(deletes)
	for _, info := range infos {
		if named[info.Name] || !info.ModTime.Before(cutoff) {
			done.Kept++
			continue
		}
		done.Deleted++
		done.Bytes += info.Size
		group.Go(func() error { return c.opts.Objects.Delete(ctx, info.Name) })
	}
	return group.Wait()
}

// Pin keeps the current global, and all that it names, from garbage collection until Unpin: a
// backfill reads it. It returns the global. Pins outlive the process.
func (c *Committer) Pin(ctx context.Context, name string) (*Global, error) {
	if c.current == nil {
		return nil, fmt.Errorf("pin %s: nothing is committed", name)
	}
	if _, err := c.opts.KV.Put(ctx, pinPrefix+name, strconv.FormatUint(c.current.Number, 10)); err != nil {
		return nil, fmt.Errorf("pin %s: %w", name, err)
	}
	return c.current, nil
}

// Pinned returns the global that a pin keeps, or nil when there is no such pin.
func (c *Committer) Pinned(ctx context.Context, name string) (*Global, error) {
	r, err := c.opts.KV.Get(ctx, pinPrefix+name)
	if err != nil {
		return nil, fmt.Errorf("read pin %s: %w", name, err)
	}
	if len(r.Kvs) == 0 {
		return nil, nil
	}
	number, err := strconv.ParseUint(string(r.Kvs[0].Value), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("decode pin %s: %w", name, err)
	}
	data, err := c.opts.Objects.Get(ctx, globalName(number))
	if err != nil {
		return nil, err
	}
	return DecodeGlobal(data)
}

// Unpin removes a pin. One that does not exist is no error.
func (c *Committer) Unpin(ctx context.Context, name string) error {
	if _, err := c.opts.KV.Delete(ctx, pinPrefix+name); err != nil {
		return fmt.Errorf("unpin %s: %w", name, err)
	}
	return nil
}
