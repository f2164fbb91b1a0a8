// Package etcd opens the metadata store: an etcd in this process, or a real one, by one client.
//
// The idea: nothing else knows which of the two it is. Both give a *clientv3.Client whose keys,
// watches and leases lie under one prefix, so elections, sessions and watches of the etcd client
// packages work as they are.
//
// The embedded server listens on no port and syncs every write: a transaction that was answered is
// on disk, for the commit of a checkpoint rests on it. Its folder must be locked (lock.go) before
// Start. The server's own goroutines run it; Close ends them.
//
// It does not know what the keys mean: meta/catalog and storage/checkpoint do. Start at Start.
package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"
)

// Options says which etcd. The zero value of all but Dir or Endpoints is the default.
type Options struct {
	Dir       string   // folder of the embedded server; ignored with Endpoints
	Endpoints []string // of a real etcd, "host:port" or URLs

	Prefix string // put before each key; "/millrace/" by default

	// Tick is the embedded server's unit of time; 50 ms by default. Less starts faster and costs
	// more when idle: 10 ms 2.4 % of a core, 50 ms 0.85 %, 100 ms 0.64 %.
	Tick time.Duration
	// DialTimeout bounds the wait for a real etcd; 5 s by default.
	DialTimeout time.Duration

	Logger *slog.Logger // nil: slog.Default
}

// electionTicks is how many ticks without a leader start an election, the least that etcd allows. A
// server that is alone skips them but one and adds a random number below them: so it is ready after
// one to five ticks, with 10 it would be after up to ten.
const electionTicks = 5

// maxRequestBytes bounds a transaction. A plan in the catalog may be large; etcd's default is 1.5 MiB.
const maxRequestBytes = 8 << 20

// Etcd is an open metadata store.
type Etcd struct {
	client *clientv3.Client
	server *embed.Etcd // nil: a real etcd
}

// Start opens the store and returns when it answers, or when ctx ends.
func Start(ctx context.Context, opts Options) (*Etcd, error) {
	if opts.Prefix == "" {
		opts.Prefix = "/millrace/"
	}
	if opts.Tick == 0 {
		opts.Tick = 50 * time.Millisecond
	}
	if opts.DialTimeout == 0 {
		opts.DialTimeout = 5 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	log := newZap(opts.Logger)
	var e *Etcd
	var err error
	if len(opts.Endpoints) > 0 {
		e, err = dial(ctx, opts, log)
	} else {
		e, err = startEmbedded(ctx, opts, log)
	}
	if err != nil {
		return nil, err
	}
	e.client.KV = namespace.NewKV(e.client.KV, opts.Prefix)
	e.client.Watcher = namespace.NewWatcher(e.client.Watcher, opts.Prefix)
	e.client.Lease = namespace.NewLease(e.client.Lease, opts.Prefix)
	return e, nil
}

// dial connects to a real etcd and asks it something, so that a wrong address is an error here.
func dial(ctx context.Context, opts Options, log *zap.Logger) (*Etcd, error) {
	where := strings.Join(opts.Endpoints, ",")
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            opts.Endpoints,
		DialTimeout:          opts.DialTimeout,
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 5 * time.Second,
		MaxCallSendMsgSize:   maxRequestBytes,
		Logger:               log,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to etcd at %s: %w", where, err)
	}
	ctx, cancel := context.WithTimeout(ctx, opts.DialTimeout)
	defer cancel()
	if _, err := client.Get(ctx, opts.Prefix); err != nil {
		client.Close()
		return nil, fmt.Errorf("connect to etcd at %s: %w", where, err)
	}
	return &Etcd{client: client}, nil
}

func startEmbedded(ctx context.Context, opts Options, log *zap.Logger) (*Etcd, error) {
	if opts.Dir == "" {
		return nil, errors.New("start etcd: no folder and no endpoints")
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	server, err := embed.StartEtcd(embeddedConfig(opts, log))
	if err != nil {
		return nil, fmt.Errorf("start etcd in %s: %w", opts.Dir, err)
	}
	e := &Etcd{server: server}
	select {
	case <-server.Server.ReadyNotify():
	case err = <-server.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("start etcd in %s: %w", opts.Dir, err)
	}
	e.client = v3client.New(server.Server)
	return e, nil
}

func embeddedConfig(opts Options, log *zap.Logger) *embed.Config {
	cfg := embed.NewConfig()
	cfg.Name = "millrace"
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.Dir = opts.Dir
	cfg.ListenClientUrls, cfg.ListenPeerUrls = nil, nil // no port
	cfg.TickMs = uint(opts.Tick.Milliseconds())
	cfg.ElectionMs = cfg.TickMs * electionTicks
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	cfg.AutoCompactionMode = embed.CompactorModeRevision
	cfg.AutoCompactionRetention = "10000" // revisions that a watch may lag behind
	cfg.SnapshotCount = 5000              // entries of the raft log kept in memory, at most twice as many
	cfg.MaxRequestBytes = maxRequestBytes
	cfg.QuotaBackendBytes = 4 << 30
	return cfg
}

// Client is the one client of the process. It is valid until Close, which closes it too.
func (e *Etcd) Client() *clientv3.Client { return e.client }

// Embedded tells whether the server runs in this process.
func (e *Etcd) Embedded() bool { return e.server != nil }

// Failed yields an error when the embedded server stops by itself. It never does for a real one.
func (e *Etcd) Failed() <-chan error {
	if e.server == nil {
		return nil
	}
	return e.server.Err()
}

// Close closes the client and ends the embedded server. The embedded server is alone, so it does not
// look for another leader first.
func (e *Etcd) Close() error {
	var err error
	if e.client != nil {
		if err = e.client.Close(); errors.Is(err, context.Canceled) {
			err = nil // how the in-process client says that it is closed
		}
	}
	if e.server != nil {
		e.server.Server.HardStop()
		e.server.Close()
	}
	return err
}
