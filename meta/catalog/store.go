// Package catalog keeps the catalog's records in etcd and publishes immutable snapshots of them.
//
// The idea: one etcd key per record, and one version key that every change compares and rewrites in the
// same transaction. So a change is atomic over any number of records, and of two writers one loses and
// starts again from what the other wrote.
//
// A Store may be used by any goroutine; changes are serialised by its mutex, snapshots are read without it.
//
// A change may be undecided: that of a transaction block which also writes rows, in the log. What was there before lies beside it
// then, and a restart that does not find the block in the log puts it back (Undecided, Settle).
//
// Invariants: what Snapshot returns was durable in etcd when it was published; ids are handed out once.
//
// It checks nothing about the records (frontend/session does) and starts no jobs. Start at Open and Apply.
package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/internal/catalog"
)

// Keys in etcd, below the client's prefix. Each record is JSON; see docs/format/catalog.md.
const (
	root        = "catalog/"
	versionKey  = root + "version"
	nextIDKey   = root + "next_id"
	relationKey = root + "relation/"
	schemaKey   = root + "schema/"
	userKey     = root + "user/"
	functionKey = root + "function/"
	commentKey  = root + "comment/"
	typeKey     = root + "type/"
	secretKey   = root + "secret/"
	blockKey    = root + "block/"
)

// formatVersion is the version of the records; it is the value of versionKey.
const formatVersion = "1"

// Store is the catalog.
type Store struct {
	client *clientv3.Client
	mu     sync.Mutex // held while changing
	rev    int64      // ModRevision of versionKey; guarded by mu
	cur    atomic.Pointer[catalog.Snapshot]
	nextID catalog.ID // guarded by mu
	seqs   sequences
}

// Open reads the catalog, creating it with schema public and user root when it is empty. saved is the
// catalog of the newest checkpoint, to be used when etcd was lost; nil: none.
func Open(ctx context.Context, client *clientv3.Client, database string, saved json.RawMessage) (*Store, error) {
	s := &Store{client: client}
	if err := s.load(ctx, database); err != nil {
		return nil, err
	}
	if s.rev != 0 {
		return s, nil
	}
	if err := s.create(ctx, saved); err != nil {
		return nil, err
	}
	return s, s.load(ctx, database)
}

func (s *Store) create(ctx context.Context, backup json.RawMessage) error {
	snap := &catalog.Snapshot{
		Schemas: map[string]*catalog.Schema{"public": {ID: catalog.FirstUserID, Name: "public", Owner: "root"}},
		Users:   map[string]*catalog.User{"root": {ID: catalog.FirstUserID + 1, Name: "root", Super: true, CreateDB: true, Login: true}},
	}
	next := catalog.FirstUserID + 2
	var saved, undecided map[string]json.RawMessage
	if len(backup) > 0 {
		var b Backup
		if err := json.Unmarshal(backup, &b); err != nil {
			return fmt.Errorf("restore catalog from checkpoint: %w", err)
		}
		snap, next, saved = b.Snapshot, b.NextID, b.Sequences
		undecided = b.Undecided
	}
	var c catalog.Change
	for _, x := range snap.Relations {
		c.Put = append(c.Put, x)
	}
	for _, x := range snap.Schemas {
		c.PutSchema = append(c.PutSchema, x)
	}
	for _, x := range snap.Users {
		c.PutUser = append(c.PutUser, x)
	}
	for _, x := range snap.Functions {
		c.PutFunc = append(c.PutFunc, x)
	}
	for _, x := range snap.Types {
		c.PutType = append(c.PutType, x)
	}
	for _, x := range snap.Secrets {
		c.PutSecret = append(c.PutSecret, x)
	}
	c.Comments = snap.Comments
	ops, err := encodeOps(&c)
	if err != nil {
		return err
	}
	for id, before := range undecided {
		ops = append(ops, clientv3.OpPut(blockKey+id, string(before)))
	}
	for id, st := range saved {
		ops = append(ops, clientv3.OpPut(sequenceKey+id, string(st)))
	}
	ops = append(ops, clientv3.OpPut(nextIDKey, fmt.Sprint(next)), clientv3.OpPut(versionKey, formatVersion))
	_, err = s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(versionKey), "=", 0)).Then(ops...).Commit()
	if err != nil {
		return fmt.Errorf("create catalog: %w", err)
	}
	return nil
}

// load reads everything at one revision and publishes it.
func (s *Store) load(ctx context.Context, database string) error {
	res, err := s.client.Get(ctx, root, clientv3.WithPrefix())
	if err != nil {
		return fmt.Errorf("read catalog: %w", err)
	}
	snap := &catalog.Snapshot{Revision: res.Header.Revision, Database: database, Comments: map[string]string{}, Schemas: map[string]*catalog.Schema{},
		Relations: map[catalog.ID]*catalog.Relation{}, Users: map[string]*catalog.User{}, Functions: map[catalog.ID]*catalog.Function{},
		Types: map[catalog.ID]*catalog.Type{}, Secrets: map[catalog.ID]*catalog.Secret{}}
	s.rev = 0
	for _, kv := range res.Kvs {
		k := string(kv.Key)
		switch {
		case k == versionKey:
			s.rev = kv.ModRevision
			if string(kv.Value) != formatVersion {
				return fmt.Errorf("read catalog: its format %q is not known to this release", kv.Value)
			}
		case k == nextIDKey:
			var n uint32
			if _, err := fmt.Sscan(string(kv.Value), &n); err != nil {
				return fmt.Errorf("read catalog: %s: %w", k, err)
			}
			s.nextID = catalog.ID(n)
		case strings.HasPrefix(k, relationKey):
			var r catalog.Relation
			err = json.Unmarshal(kv.Value, &r)
			snap.Relations[r.ID] = &r
		case strings.HasPrefix(k, schemaKey):
			var x catalog.Schema
			err = json.Unmarshal(kv.Value, &x)
			snap.Schemas[x.Name] = &x
		case strings.HasPrefix(k, userKey):
			var x catalog.User
			err = json.Unmarshal(kv.Value, &x)
			snap.Users[x.Name] = &x
		case strings.HasPrefix(k, functionKey):
			var x catalog.Function
			err = json.Unmarshal(kv.Value, &x)
			snap.Functions[x.ID] = &x
		case strings.HasPrefix(k, commentKey):
			var text string
			err = json.Unmarshal(kv.Value, &text)
			snap.Comments[strings.TrimPrefix(k, commentKey)] = text
		case strings.HasPrefix(k, typeKey):
			var x catalog.Type
			err = json.Unmarshal(kv.Value, &x)
			snap.Types[x.ID] = &x
		case strings.HasPrefix(k, secretKey):
			var x catalog.Secret
			err = json.Unmarshal(kv.Value, &x)
			snap.Secrets[x.ID] = &x
		}
		if err != nil {
			return fmt.Errorf("read catalog: %s: %w", k, err)
		}
	}
	snap.Index()
	s.cur.Store(snap)
	return nil
}

// Snapshot returns the catalog as it is now.
func (s *Store) Snapshot() *catalog.Snapshot { return s.cur.Load() }

// NewIDs hands out n consecutive ids and returns the first.
func (s *Store) NewIDs(ctx context.Context, n int) (catalog.ID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.nextID
	if _, err := s.client.Put(ctx, nextIDKey, fmt.Sprint(first+catalog.ID(n))); err != nil {
		return 0, fmt.Errorf("allocate ids: %w", err)
	}
	s.nextID += catalog.ID(n)
	return first, nil
}

// Apply makes a change that was decided by looking at snapshot base; catalog.ErrConflict when that is not current.
func (s *Store) Apply(ctx context.Context, base *catalog.Snapshot, c catalog.Change) error {
	return s.apply(ctx, base, c, nil)
}

// ApplyUndecided is Apply of a change that counts only if a transaction block is found in the log: until Decided or TakeBack, a restart
// takes it back otherwise. block is an id of its own.
func (s *Store) ApplyUndecided(ctx context.Context, base *catalog.Snapshot, c catalog.Change, block catalog.ID) error {
	return s.apply(ctx, base, c, func(ops []clientv3.Op) ([]clientv3.Op, error) {
		before, err := s.before(ctx, ops)
		if err != nil {
			return nil, err
		}
		return put(nil, fmt.Sprint(blockKey, block), before)
	})
}

// TakeBack is Apply of a change that takes back what ApplyUndecided did; a restart has nothing more to do with the block.
func (s *Store) TakeBack(ctx context.Context, base *catalog.Snapshot, c catalog.Change, block catalog.ID) error {
	return s.apply(ctx, base, c, func([]clientv3.Op) ([]clientv3.Op, error) {
		return []clientv3.Op{clientv3.OpDelete(fmt.Sprint(blockKey, block))}, nil
	})
}

// Decided notes that the block of an undecided change is in the log: the change stays.
func (s *Store) Decided(ctx context.Context, block catalog.ID) error {
	if _, err := s.client.Delete(ctx, fmt.Sprint(blockKey, block)); err != nil {
		return fmt.Errorf("note that transaction block %d is committed: %w", block, err)
	}
	return nil
}

// before reads what keys have that ops change; nil: nothing.
func (s *Store) before(ctx context.Context, ops []clientv3.Op) (map[string]*string, error) {
	out := map[string]*string{}
	for _, op := range ops {
		k := string(op.KeyBytes())
		res, err := s.client.Get(ctx, k)
		if err != nil {
			return nil, fmt.Errorf("read catalog record %s: %w", k, err)
		}
		if out[k] = nil; len(res.Kvs) > 0 {
			v := string(res.Kvs[0].Value)
			out[k] = &v
		}
	}
	return out, nil
}

// Undecided lists the blocks whose changes are not decided. At start-up the log tells which of them are committed, for Settle.
func (s *Store) Undecided(ctx context.Context) ([]catalog.ID, error) {
	res, err := s.client.Get(ctx, blockKey, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return nil, fmt.Errorf("read undecided changes: %w", err)
	}
	var out []catalog.ID
	for _, kv := range res.Kvs {
		var id catalog.ID
		if _, err := fmt.Sscan(strings.TrimPrefix(string(kv.Key), blockKey), &id); err != nil {
			return nil, fmt.Errorf("read undecided changes: %s: %w", kv.Key, err)
		}
		out = append(out, id)
	}
	return out, nil
}

// Settle decides about an undecided change at start-up: it stays if its block is committed, else what was before is put back. A record that
// somebody has changed since stays as it is.
func (s *Store) Settle(ctx context.Context, block catalog.ID, committed bool) error {
	if committed {
		return s.Decided(ctx, block)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := fmt.Sprint(blockKey, block)
	res, err := s.client.Get(ctx, k)
	if err != nil {
		return fmt.Errorf("read undecided change %d: %w", block, err)
	}
	if len(res.Kvs) == 0 {
		return nil
	}
	var before map[string]*string
	if err := json.Unmarshal(res.Kvs[0].Value, &before); err != nil {
		return fmt.Errorf("read undecided change %d: %w", block, err)
	}
	made := res.Kvs[0].ModRevision // of the transaction that made the change
	ops := []clientv3.Op{clientv3.OpDelete(k), clientv3.OpPut(versionKey, formatVersion)}
	for key, was := range before {
		now, err := s.client.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("read catalog record %s: %w", key, err)
		}
		switch {
		case was == nil: // a new record, also when something has been noted in it since
			ops = append(ops, clientv3.OpDelete(key))
		case len(now.Kvs) > 0 && now.Kvs[0].ModRevision != made:
		default:
			ops = append(ops, clientv3.OpPut(key, *was))
		}
	}
	if _, err := s.client.Txn(ctx).Then(ops...).Commit(); err != nil {
		return fmt.Errorf("take back undecided change %d: %w", block, err)
	}
	return s.load(ctx, s.cur.Load().Database)
}

// apply makes a change together with more, which depends on its operations.
func (s *Store) apply(ctx context.Context, base *catalog.Snapshot, c catalog.Change, more func(ops []clientv3.Op) ([]clientv3.Op, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := s.cur.Load()
	if base != nil && base != cur {
		return catalog.ErrConflict
	}
	ops, err := encodeOps(&c)
	if err != nil {
		return err
	}
	if more != nil {
		extra, err := more(ops)
		if err != nil {
			return err
		}
		ops = append(ops, extra...)
	}
	ops = append(ops, clientv3.OpPut(versionKey, formatVersion))
	res, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(versionKey), "=", s.rev)).Then(ops...).Commit()
	if err != nil {
		return fmt.Errorf("change catalog: %w", err)
	}
	if !res.Succeeded {
		if err := s.load(ctx, cur.Database); err != nil {
			return err
		}
		return catalog.ErrConflict
	}
	s.rev = res.Header.Revision
	next := c.On(cur)
	next.Revision = res.Header.Revision
	next.Index()
	s.cur.Store(next)
	return nil
}

func put(ops []clientv3.Op, key string, v any) ([]clientv3.Op, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode catalog record %s: %w", key, err)
	}
	return append(ops, clientv3.OpPut(key, string(b))), nil
}

func encodeOps(c *catalog.Change) (ops []clientv3.Op, err error) {
	for _, x := range c.Put {
		if ops, err = put(ops, fmt.Sprint(relationKey, x.ID), x); err != nil {
			return nil, err
		}
	}
	for _, x := range c.PutSchema {
		if ops, err = put(ops, schemaKey+x.Name, x); err != nil {
			return nil, err
		}
	}
	for _, x := range c.PutUser {
		if ops, err = put(ops, userKey+x.Name, x); err != nil {
			return nil, err
		}
	}
	for _, x := range c.PutFunc {
		if ops, err = put(ops, fmt.Sprint(functionKey, x.ID), x); err != nil {
			return nil, err
		}
	}
	for _, x := range c.PutType {
		if ops, err = put(ops, fmt.Sprint(typeKey, x.ID), x); err != nil {
			return nil, err
		}
	}
	for _, x := range c.PutSecret {
		if ops, err = put(ops, fmt.Sprint(secretKey, x.ID), x); err != nil {
			return nil, err
		}
	}
	for of, text := range c.Comments {
		if text == "" {
			ops = append(ops, clientv3.OpDelete(commentKey+of))
		} else if ops, err = put(ops, commentKey+of, text); err != nil {
			return nil, err
		}
	}
	for _, id := range c.Drop {
		ops = append(ops, clientv3.OpDelete(fmt.Sprint(relationKey, id)), clientv3.OpDelete(fmt.Sprint(sequenceKey, id)))
	}
	for _, n := range c.DropSchema {
		ops = append(ops, clientv3.OpDelete(schemaKey+n))
	}
	for _, n := range c.DropUser {
		ops = append(ops, clientv3.OpDelete(userKey+n))
	}
	for _, id := range c.DropFunc {
		ops = append(ops, clientv3.OpDelete(fmt.Sprint(functionKey, id)))
	}
	for _, id := range c.DropType {
		ops = append(ops, clientv3.OpDelete(fmt.Sprint(typeKey, id)))
	}
	for _, id := range c.DropSecret {
		ops = append(ops, clientv3.OpDelete(fmt.Sprint(secretKey, id)))
	}
	return ops, nil
}

// SetCreated marks a relation's job as complete.
func (s *Store) SetCreated(ctx context.Context, id catalog.ID) error {
	for {
		snap := s.Snapshot()
		r := snap.Relations[id]
		if r == nil || !r.Creating {
			return nil
		}
		next := *r
		next.Creating = false
		if err := s.Apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&next}}); !errors.Is(err, catalog.ErrConflict) {
			return err
		}
	}
}

// Backup is the catalog as a checkpoint carries it.
type Backup struct {
	NextID    catalog.ID
	Snapshot  *catalog.Snapshot
	Sequences map[string]json.RawMessage `json:",omitempty"` // SequenceState by id
	// Undecided is what was before changes that are not decided, by block.
	Undecided map[string]json.RawMessage `json:",omitempty"`
}

// Backup encodes the catalog for a checkpoint.
func (s *Store) Backup(ctx context.Context) (json.RawMessage, error) {
	seqs, err := s.sequenceStates(ctx)
	if err != nil {
		return nil, err
	}
	b, err := s.backup(ctx)
	if err != nil {
		return nil, err
	}
	b.Sequences = seqs
	out, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode catalog: %w", err)
	}
	return out, nil
}

// backup reads the snapshot and what is undecided in it at one moment.
func (s *Store) backup(ctx context.Context) (Backup, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Backup{NextID: s.nextID, Snapshot: s.cur.Load()}
	res, err := s.client.Get(ctx, blockKey, clientv3.WithPrefix())
	if err != nil {
		return b, fmt.Errorf("read undecided changes: %w", err)
	}
	for _, kv := range res.Kvs {
		if b.Undecided == nil {
			b.Undecided = map[string]json.RawMessage{}
		}
		b.Undecided[strings.TrimPrefix(string(kv.Key), blockKey)] = kv.Value
	}
	return b, nil
}
