// Package httpsink sends rows to an HTTP server: each request has some rows of one epoch.
//
// The idea: the rows of an epoch are cut into requests in the same way each time, and a request has a key made of the sink, the
// epoch and its number therein. What is sent again after a failure has the same key and the same body, so that
// a server that remembers keys takes it once.
//
// A Writer belongs to one goroutine. Requests go out one after the other, in order.
//
// It follows no redirects, and does not know what a server does with a key. Start at Sink.
package httpsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sink implements connector.Sink.
type Sink struct{}

// Validate implements connector.Sink. It looks whether somebody listens, and sends nothing.
func (Sink) Validate(ctx context.Context, spec *connector.SinkSpec) error {
	c, err := parse(spec)
	if err != nil {
		return err
	}
	if _, err := codec.NewMessages(spec, c.mode, c.force); err != nil {
		return err
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	if p, err := cl.Transport.(*http.Transport).Proxy(&http.Request{URL: c.url}); p != nil || err != nil {
		return nil // the proxy's to say
	}
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", c.address())
	if err != nil {
		return c.unreachable(err)
	}
	return conn.Close()
}

// Open implements connector.Sink.
func (Sink) Open(_ context.Context, spec *connector.SinkSpec) (connector.Writer, error) {
	c, err := parse(spec)
	if err != nil {
		return nil, err
	}
	w := &Writer{config: c, instance: spec.Instance, closed: make(chan struct{})}
	if w.instance == "" {
		w.instance = fmt.Sprintf("%s-%d", spec.Name, spec.ID)
	}
	if w.messages, err = codec.NewMessages(spec, c.mode, c.force); err != nil {
		return nil, err
	}
	w.client, err = c.client()
	return w, err
}

// Writer implements connector.Writer.
type Writer struct {
	config   *config
	instance string
	client   *http.Client
	messages *codec.Messages
	epoch    uint64
	n        int // requests of the epoch so far
	body     bytes.Buffer
	rows     int // in body
	closed   chan struct{}
}

// Committed implements connector.Writer: a server cannot tell.
func (w *Writer) Committed(context.Context) (uint64, bool, error) { return 0, false, nil }

// Write implements connector.Writer.
func (w *Writer) Write(ctx context.Context, epoch uint64, c *delta.Chunk) error {
	if epoch != w.epoch {
		w.epoch, w.n, w.rows = epoch, 0, 0
		w.body.Reset()
	}
	return w.messages.Each(c, func(key, value []byte) error {
		w.add(key, value)
		if w.rows < w.config.rows && w.body.Len() < w.config.bytes {
			return nil
		}
		return w.send(ctx)
	})
}

// add puts a row into the request that comes next.
func (w *Writer) add(key, value []byte) {
	switch {
	case w.config.body == "array" && w.rows == 0:
		w.body.WriteByte('[')
	case w.config.body == "array":
		w.body.WriteByte(',')
	}
	if w.config.mode == codec.Upsert {
		w.body.WriteString(`{"key":`)
		w.body.Write(key)
		w.body.WriteString(`,"value":`)
		if value == nil {
			w.body.WriteString("null")
		}
		w.body.Write(value)
		w.body.WriteByte('}')
	} else if value != nil { // the tombstones of FORMAT DEBEZIUM say nothing without a key
		w.body.Write(value)
	} else {
		w.body.WriteString("null")
	}
	if w.config.body == "lines" {
		w.body.WriteByte('\n')
	}
	w.rows++
}

// Commit implements connector.Writer.
func (w *Writer) Commit(ctx context.Context, epoch uint64) error {
	if w.rows == 0 || epoch != w.epoch {
		return nil
	}
	return w.send(ctx)
}

// send sends the request, as often as it takes.
func (w *Writer) send(ctx context.Context) error {
	if w.config.body == "array" {
		w.body.WriteByte(']')
	}
	wait := w.config.backoff
	for try := 0; ; try++ {
		after, err := w.post(ctx)
		if err == nil {
			break
		}
		if after < 0 || try >= w.config.retries || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(max(after, wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-w.closed:
			timer.Stop()
			return err
		}
		wait = min(2*wait, 30*time.Second)
	}
	w.n, w.rows = w.n+1, 0
	w.body.Reset()
	return nil
}

// post sends the request once. after is how long to wait at least before it may be sent again; −1: that would not help.
func (w *Writer) post(ctx context.Context) (after time.Duration, err error) {
	c := w.config
	req, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), bytes.NewReader(w.body.Bytes()))
	if err != nil {
		return -1, err
	}
	req.Header = c.header.Clone()
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", map[bool]string{true: "application/x-ndjson", false: "application/json"}[c.body == "lines"])
	}
	req.Header.Set(c.idHeader, fmt.Sprintf("%s-%d-%d", w.instance, w.epoch, w.n))
	req.Header.Set("X-Millrace-Epoch", strconv.FormatUint(w.epoch, 10))
	req.Header.Set("X-Millrace-Sequence", strconv.Itoa(w.n))
	res, err := w.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		return 0, c.unreachable(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 200))
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection can be used again
	return c.answer(res, text)
}

// answer decides what a response means.
func (c *config) answer(res *http.Response, text []byte) (time.Duration, error) {
	code := res.StatusCode
	if code >= 200 && code < 300 {
		return 0, nil
	}
	e := sqlerr.New(sqlerr.ExternalRoutineException, "%s %s://%s%s answers %d %s", c.method, c.url.Scheme, c.url.Host, c.url.Path, code, http.StatusText(code))
	if len(text) > 0 {
		e = e.WithDetail("%s", text)
	}
	switch {
	case code == http.StatusUnauthorized:
		e.Code = sqlerr.InvalidPassword
		return -1, e
	case code == http.StatusForbidden:
		e.Code = sqlerr.InsufficientPrivilege
		return -1, e
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return retryAfter(res.Header.Get("Retry-After"), time.Now()), e
	}
	return -1, e
}

// retryAfter reads the header: seconds, or a time.
func retryAfter(text string, now time.Time) time.Duration {
	const most = 10 * time.Minute
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, most)
	}
	if t, err := http.ParseTime(text); err == nil {
		return min(max(t.Sub(now), 0), most)
	}
	return 0
}

func (c *config) unreachable(err error) error {
	var se *sqlerr.Error
	if errors.As(err, &se) || errors.Is(err, context.Canceled) {
		return err
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not reach %s", c.address()).WithDetail("%v", err).WithCause(err)
}

// Close implements connector.Writer.
func (w *Writer) Close() error {
	close(w.closed)
	w.client.CloseIdleConnections()
	return nil
}
