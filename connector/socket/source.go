// Package socket reads records from TCP connections: it listens for them, or connects to where they come from.
//
// The idea: a connection is a stream of bytes that the decoder cuts into records, lines mostly. What has been received is gone from
// where it came from: there is nothing to go back to, so records that were received after the last checkpoint are lost
// when the server dies, and so is what is sent while nobody listens.
//
// A Reader belongs to one goroutine. Each connection has a goroutine that reads and cuts; it waits when the reader is behind, which
// makes the sender wait. Close waits for all of them.
//
// It does not decode (connector/codec). Start at Source.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Source implements connector.Source.
type Source struct{}

// config is the options of a source.
type config struct {
	address string
	listen  bool
	most    int // connections at a time
	largest int // bytes of a record
}

func parse(spec *connector.SourceSpec) (*config, error) {
	o := option.New(option.Connector("socket"), spec.Connector.Options)
	c := &config{address: o.Required("address")}
	c.listen = o.Enum("mode", "listen", "listen", "connect") == "listen"
	c.most = int(o.Int("connections", 100, 1, 10_000))
	c.largest = int(o.Int("max_record_bytes", 1<<20, 16, 1<<28))
	if _, _, err := net.SplitHostPort(c.address); err != nil && c.address != "" {
		o.Fail("option \"address\" must be host:port, not %q", c.address)
	}
	if f := spec.Connector.Format; f != "" && f != "PLAIN" {
		o.Fail("connector \"socket\" reads FORMAT PLAIN only, not %s", f)
	}
	message.CheckHeaders(o, spec)
	return c, o.Done()
}

// Validate implements connector.Source. It looks whether the address can be used.
func (Source) Validate(ctx context.Context, spec *connector.SourceSpec) (connector.Facts, error) {
	c, err := parse(spec)
	if err != nil {
		return connector.Facts{}, err
	}
	if _, err := message.Check(spec); err != nil {
		return connector.Facts{}, err
	}
	all := *spec
	all.Cols = nil
	dec, _, err := codec.NewDecoder(&all)
	if err != nil {
		return connector.Facts{}, err
	}
	if _, ok := dec.(codec.Framer); !ok {
		return connector.Facts{}, sqlerr.New(sqlerr.FeatureNotSupported, "records of ENCODE %s have no end by which a stream could be cut", spec.Connector.Encode).
			WithHint("Use ENCODE JSON, CSV or BYTES.")
	}
	facts := connector.Facts{AppendOnly: true}
	if c.listen {
		l, err := c.open(ctx)
		if err != nil {
			return facts, err
		}
		return facts, l.Close()
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return facts, err
	}
	return facts, conn.Close()
}

func (c *config) open(ctx context.Context) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, sqlerr.New(sqlerr.ObjectInUse, "address %s is taken", c.address).WithCause(err).
			WithHint("One job can listen on an address. CREATE TABLE … WITH (connector = 'socket', …), and let views read the table.")
	}
	if err != nil {
		return nil, sqlerr.New(sqlerr.ConnectionFailure, "cannot listen on %s", c.address).WithDetail("%v", err).WithCause(err)
	}
	return l, nil
}

func (c *config) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", c.address)
	if err != nil && !errors.Is(err, context.Canceled) {
		return nil, sqlerr.New(sqlerr.ConnectionFailure, "could not reach %s", c.address).WithDetail("%v", err).WithCause(err)
	}
	return conn, err
}

// Splits implements connector.Source: there is one.
func (Source) Splits(context.Context, *connector.SourceSpec) ([]string, error) {
	return []string{message.Split}, nil
}

// Open implements connector.Source. An offset counts records.
func (Source) Open(ctx context.Context, spec *connector.SourceSpec, splits []connector.SplitOffset) (connector.Reader, error) {
	c, err := parse(spec)
	if err != nil {
		return nil, err
	}
	if len(splits) != 1 || splits[0].Split != message.Split {
		return nil, fmt.Errorf("open socket %s: it has one split, %q", c.address, message.Split)
	}
	r := newReader(c, spec)
	if o := splits[0].Offset; o != nil && string(o) != string(connector.FromStart) {
		if r.at, err = offset.One(o); err != nil {
			return nil, err
		}
	}
	if r.batch, err = message.New(spec); err != nil {
		return nil, err
	}
	if err := r.start(ctx); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}
