// Package server builds a node from its parts: the data folder, metadata, object store, shard, log, engine
// and the Postgres front end. It is the composition root; it decides nothing that a part could decide.
//
// The idea: Open constructs bottom-up, each part getting what it declared it needs; Close undoes it in
// reverse. The same code runs on a laptop (embedded etcd, local folder) and, with other options, elsewhere.
//
// Open and Close are called by one goroutine (cmd). Start at Open.
package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/millrace/millrace/frontend/session"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/secret"
	"github.com/millrace/millrace/meta/catalog"
	"github.com/millrace/millrace/meta/epoch"
	"github.com/millrace/millrace/meta/etcd"
	"github.com/millrace/millrace/storage/checkpoint"
	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/shard"
	"github.com/millrace/millrace/storage/wal"
)

// Config says how a node runs. Zero fields take the defaults named.
type Config struct {
	DataDir     string // default ./millrace-data
	ObjectStore string // URL, file:// or s3://; default: the folder objects below DataDir
	Database    string // default dev
	Parallelism int    // actors per fragment of new jobs; default: the number of cores
	CacheBytes  int64  // of blocks read from the store; default 256 MiB
	StateBytes  int64  // of views' state in memory, above which it is left to the store; default: half of the memory there is
	// SecretKey encrypts secrets: 32 bytes, in hexadecimal or base64. Default: the file secret.key in DataDir,
	// made at the first start.
	SecretKey string
	Webhooks  string // address for webhooks; default: none are taken
	Epochs    epoch.Config
	Logger    *slog.Logger // default slog.Default
}

// Node is a running Millrace.
type Node struct {
	cfg     Config
	lock    *etcd.DirLock
	objects object.Store
	etcd    *etcd.Etcd
	Catalog *catalog.Store
	Engine  *engine.Engine
	Vault   *secret.Vault
	shard   *shard.Shard
	cache   *shard.Cache
	log     *wal.Log
	commits *commits
	// sessions is set once clients are served.
	sessions atomic.Pointer[session.Manager]
}

// Open starts a node on its data folder. On error nothing is left running.
func Open(ctx context.Context, cfg Config) (n *Node, err error) {
	if cfg.DataDir == "" {
		cfg.DataDir = "millrace-data"
	}
	if cfg.Database == "" {
		cfg.Database = "dev"
	}
	if cfg.CacheBytes == 0 {
		cfg.CacheBytes = 256 << 20
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	if cfg.ObjectStore == "" {
		cfg.ObjectStore = "file://" + filepath.Join(cfg.DataDir, "objects")
	}
	n = &Node{cfg: cfg}
	defer func() {
		if err != nil {
			_ = n.Close(context.WithoutCancel(ctx))
			n = nil
		}
	}()
	if n.lock, err = lockFolder(cfg.DataDir); err != nil {
		return n, err
	}
	// Before etcd: a URL that is wrong is the likeliest mistake.
	if n.objects, err = object.Open(ctx, cfg.ObjectStore, os.Getenv); err != nil {
		return n, err
	}
	n.etcd, err = etcd.Start(ctx, etcd.Options{Dir: filepath.Join(cfg.DataDir, "meta"), Logger: cfg.Logger})
	if err != nil {
		return n, err
	}
	return n, n.open(ctx)
}

func (n *Node) open(ctx context.Context) error {
	cfg := n.cfg
	objects := n.objects
	term, err := nextTerm(ctx, n.etcd.Client())
	if err != nil {
		return err
	}
	committer := checkpoint.New(checkpoint.Options{Objects: objects, KV: n.etcd.Client(), Term: term, Logger: cfg.Logger})
	global, err := committer.Load(ctx)
	if err != nil {
		return err
	}
	var manifest *shard.Manifest
	var last *engine.Commit
	var backup json.RawMessage
	minNext := uint64(1)
	if global != nil {
		ms, err := committer.Manifests(ctx, global)
		if err != nil {
			return err
		}
		if len(ms) > 0 {
			manifest = ms[0]
		}
		last = &engine.Commit{}
		if err := json.Unmarshal(global.Jobs, last); err != nil {
			return fmt.Errorf("read checkpoint of epoch %d: %w", global.Epoch, err)
		}
		backup, minNext = global.Catalog, global.LogPosition+1
	}
	if n.Catalog, err = catalog.Open(ctx, n.etcd.Client(), cfg.Database, backup); err != nil {
		return err
	}
	if n.Vault, err = openVault(cfg, n.Catalog); err != nil {
		return err
	}
	n.cache = shard.NewCache(cfg.CacheBytes, 1)
	n.shard, err = shard.Open(ctx, shard.Options{Dir: filepath.Join(cfg.DataDir, "shard"), Objects: objects, ID: 1,
		Incarnation: committer.NewIncarnation(), Cache: n.cache, Logger: cfg.Logger, Prefetch: true}, manifest)
	if err != nil {
		return err
	}
	fs, err := wal.Dir(filepath.Join(cfg.DataDir, "log"))
	if err != nil {
		return err
	}
	if n.log, err = wal.Open(wal.Options{FS: fs, MinNext: minNext, Logger: cfg.Logger}); err != nil {
		return err
	}
	if err := n.settle(ctx); err != nil {
		return err
	}
	cluster, err := clusterID(ctx, n.etcd.Client())
	if err != nil {
		return err
	}
	n.commits = &commits{committer: committer, catalog: n.Catalog, log: cfg.Logger}
	n.Engine, err = engine.Open(context.WithoutCancel(ctx), engine.Config{
		Catalog: n.Catalog, Shard: n.shard, Checkpoints: n.commits, Log: n.log, Last: last,
		Source: n.source, Sink: n.sink, Settings: relationSettings, Epochs: cfg.Epochs, Logger: cfg.Logger, ClusterID: cluster,
		CacheBytes: columnCacheBytes(), StateBytes: stateBytes(cfg.StateBytes), Follow: n.follow, Demands: n.demands,
	})
	return err
}

// settle decides about the definitions of transaction blocks that a crash has interrupted between definitions and rows: the log says
// whether the block is committed.
func (n *Node) settle(ctx context.Context) error {
	blocks, err := n.Catalog.Undecided(ctx)
	if err != nil {
		return err
	}
	logged, err := engine.Blocks(n.log, blocks)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		if err := n.Catalog.Settle(ctx, b, logged[b]); err != nil {
			return err
		}
	}
	return nil
}

// Close takes a last checkpoint within ctx and stops everything that Open started.
func (n *Node) Close(ctx context.Context) error {
	var errs []error
	if n.Engine != nil {
		errs = append(errs, n.Engine.Close(ctx))
	}
	if n.Catalog != nil {
		errs = append(errs, n.Catalog.Close(ctx))
	}
	if n.log != nil {
		errs = append(errs, n.log.Close())
	}
	if n.shard != nil {
		errs = append(errs, n.shard.Close())
	}
	if n.cache != nil {
		n.cache.Close()
	}
	if n.etcd != nil {
		errs = append(errs, n.etcd.Close())
	}
	if n.Vault != nil {
		errs = append(errs, n.Vault.Clear())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Unlock())
	}
	return errors.Join(errs...)
}

// lockFolder takes the data folder, waiting a moment for a predecessor that is on its way out.
func lockFolder(dir string) (*etcd.DirLock, error) {
	l, err := etcd.Lock(dir)
	for end := time.Now().Add(linger); errors.As(err, new(*etcd.LockedError)) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		l, err = etcd.Lock(dir)
	}
	return l, err
}

// clusterID returns the cluster's name, made at its first start. It is kept in etcd; when that was lost, a new
// name keeps sinks from taking over the epochs of the old one.
func clusterID(ctx context.Context, c *clientv3.Client) (string, error) {
	const key = "cluster/id"
	fresh := rand.Text()[:16]
	res, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, fresh)).Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return "", fmt.Errorf("read cluster id: %w", err)
	}
	if res.Succeeded {
		return fresh, nil
	}
	return string(res.Responses[0].GetResponseRange().Kvs[0].Value), nil
}

// nextTerm numbers this start of the server, above all earlier ones on the same metadata.
func nextTerm(ctx context.Context, c *clientv3.Client) (uint64, error) {
	const key = "leader/term"
	for {
		res, err := c.Get(ctx, key)
		if err != nil {
			return 0, fmt.Errorf("read term: %w", err)
		}
		term, rev := uint64(1), int64(0)
		if len(res.Kvs) > 0 {
			old, err := strconv.ParseUint(string(res.Kvs[0].Value), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read term: %w", err)
			}
			term, rev = old+1, res.Kvs[0].ModRevision
		}
		txn, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", rev)).
			Then(clientv3.OpPut(key, strconv.FormatUint(term, 10))).Commit()
		if err != nil {
			return 0, fmt.Errorf("write term: %w", err)
		}
		if txn.Succeeded {
			return term, nil
		}
	}
}

// commits makes the engine's checkpoints durable.
type commits struct {
	committer *checkpoint.Committer
	catalog   *catalog.Store
	log       *slog.Logger
	collected time.Time
}

// collectEach is how often garbage is looked for.
const collectEach = 5 * time.Minute

// Commit implements engine.Checkpoints.
func (c *commits) Commit(ctx context.Context, s *shard.Shard, epoch, logPos uint64, body json.RawMessage) error {
	began := time.Now()
	m, err := s.Checkpoint(ctx, epoch)
	if err != nil {
		return err
	}
	backup, err := c.catalog.Backup(ctx)
	if err != nil {
		return err
	}
	g := &checkpoint.Global{Epoch: epoch, LogPosition: logPos, Jobs: body, Catalog: backup}
	if err := c.committer.Commit(ctx, g, []*shard.Manifest{m}, began); err != nil {
		return err
	}
	if time.Since(c.collected) > collectEach {
		c.collected = time.Now()
		if _, err := c.committer.Collect(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("collect garbage objects", "err", err)
		}
	}
	return nil
}
