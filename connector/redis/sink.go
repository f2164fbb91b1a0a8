// Package redis writes rows to Redis, or to a cluster of Redis servers, as keys with values.
//
// The idea: a row is the value of a key that is made of its primary key; a deleted row is a deleted key. Writing a key
// again changes nothing, so an epoch that is delivered twice after a failure leaves what it left the first time.
//
// A Writer belongs to one goroutine. Commands are sent in pipelines, in order.
//
// It keeps no marker in Redis, which could not be written together with the rows of a cluster. Start at Sink.
package redis

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

// Validate implements connector.Sink.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	c, err := parse(spec)
	if err != nil {
		return err
	}
	if _, err := c.encoder(spec); err != nil {
		return err
	}
	cl := c.client()
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return c.explain("connect", cl.Ping(ctx).Err())
}

// Open implements connector.Sink.
func (Sink) Open(ctx context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parse(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c}
	if w.rows, err = c.encoder(spec); err != nil {
		return nil, err
	}
	w.client = c.client()
	if err := w.client.Ping(ctx).Err(); err != nil {
		_ = w.client.Close()
		return nil, c.explain("connect", err)
	}
	w.pipe = w.client.Pipeline()
	return w, nil
}

// pipelined is how many commands are sent at once.
const pipelined = 1000

// Writer implements connector.Writer.
type Writer struct {
	config *config
	client redis.UniversalClient
	pipe   redis.Pipeliner
	rows   encoder
}

// encoder calls emit for the keys and values of a chunk's rows in order; a nil value is a deleted key.
type encoder interface {
	Each(c *delta.Chunk, emit func(key, value []byte) error) error
}

// encoder makes the encoder of a sink.
func (c *config) encoder(spec *connector.SinkSpec) (encoder, error) {
	if c.keys != nil {
		return &templates{c, spec}, nil
	}
	m, err := codec.NewMessages(spec, c.mode, c.force)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Committed implements connector.Writer: Redis cannot tell.
func (w *Writer) Committed(context.Context) (uint64, bool, error) { return 0, false, nil }

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, _ uint64, c *delta.Chunk) error {
	return w.rows.Each(c, func(key, value []byte) error {
		if value == nil {
			w.pipe.Del(ctx, string(key))
		} else {
			w.pipe.Set(ctx, string(key), value, w.config.expiry)
		}
		if w.pipe.Len() < pipelined {
			return nil
		}
		return w.send(ctx)
	})
}

func (w *Writer) send(ctx context.Context) error {
	if w.pipe.Len() == 0 {
		return nil
	}
	_, err := w.pipe.Exec(ctx)
	return w.config.explain("write", err)
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, _ uint64) error { return w.send(ctx) }

// Close implements connector.Writer.
func (w *Writer) Close() error { return w.client.Close() }

// client makes a client of the server or the cluster. Its own log is silent: what goes wrong is returned.
func (c *config) client() redis.UniversalClient {
	redis.SetLogger(quiet{})
	if c.cluster {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, Username: c.user, Password: c.password, TLSConfig: c.tls,
			DialTimeout: 5 * time.Second, MaxRetries: 2, PoolSize: 2, ClientName: "millrace"})
	}
	return redis.NewClient(&redis.Options{Addr: c.addrs[0], Username: c.user, Password: c.password, DB: c.db, TLSConfig: c.tls,
		DialTimeout: 5 * time.Second, MaxRetries: -1, PoolSize: 2, ClientName: "millrace"})
}

type quiet struct{}

// Printf implements the client's logger.
func (quiet) Printf(context.Context, string, ...any) {}

// explain turns an error of the client into one that a user understands: 08006 when the server cannot be reached, 28P01
// when it refuses the password, 42501 when it denies a command.
func (c *config) explain(doing string, err error) error {
	var se *sqlerr.Error
	if err == nil || errors.As(err, &se) || errors.Is(err, context.Canceled) {
		return err
	}
	at, text := strings.Join(c.addrs, ","), err.Error()
	var said redis.Error
	switch {
	case strings.Contains(text, "WRONGPASS"), strings.Contains(text, "NOAUTH"), strings.Contains(text, "invalid password"), strings.Contains(text, "AUTH"):
		return sqlerr.New(sqlerr.InvalidPassword, "Redis at %s refuses the password", at).WithDetail("%v", err).WithCause(err)
	case strings.Contains(text, "NOPERM"):
		return sqlerr.New(sqlerr.InsufficientPrivilege, "permission denied by Redis at %s to %s", at, doing).WithDetail("%v", err).WithCause(err)
	case strings.Contains(text, "OOM"):
		return sqlerr.New(sqlerr.OutOfMemory, "Redis at %s is out of memory", at).WithDetail("%v", err).WithCause(err)
	case strings.Contains(text, "cluster support disabled"):
		return sqlerr.New(sqlerr.InvalidParameterValue, "Redis at %s is not a cluster", at).WithHint("Give one URL, not a list.").WithCause(err)
	case errors.As(err, &said):
		return sqlerr.New(sqlerr.ExternalRoutineException, "Redis at %s could not %s", at, doing).WithDetail("%v", err).WithCause(err)
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not reach Redis at %s to %s", at, doing).WithDetail("%v", err).WithCause(err)
}
