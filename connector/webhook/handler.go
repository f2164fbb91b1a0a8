package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/message"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Table is a table that takes rows by HTTP, for one request.
type Table interface {
	// Spec describes it, with secrets opened.
	Spec() (*connector.SourceSpec, error)
	// Paused: it takes no rows for now.
	Paused() bool
	// Verify reports whether the request may be taken; headers is a JSON object by lower-case names.
	Verify(ctx context.Context, headers, payload []byte) (bool, error)
	// Insert writes rows and returns when they are durable.
	Insert(ctx context.Context, c *delta.Chunk) error
	Close()
}

// Handler answers POST /webhook/<database>/<schema>/<table>.
type Handler struct {
	// Find finds a table: 42P01 when there is none.
	Find   func(database, schema, table string) (Table, error)
	Logger *slog.Logger
	slots  chan struct{}
}

// atOnce is how many requests are worked on at a time.
const atOnce = 64

// New returns a handler.
func New(find func(database, schema, table string) (Table, error), log *slog.Logger) *Handler {
	return &Handler{Find: find, Logger: log, slots: make(chan struct{}, atOnce)}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/health" {
		answer(w, http.StatusOK, "")
		return
	}
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) != 4 || path[0] != "webhook" {
		answer(w, http.StatusNotFound, "webhooks are at /webhook/<database>/<schema>/<table>")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "a webhook takes POST")
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-r.Context().Done():
		return
	}
	code, text := h.take(r, path[1], path[2], path[3])
	if code == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	answer(w, code, text)
}

// answer writes a status, with an object that says why where it is not 200.
func answer(w http.ResponseWriter, code int, text string) {
	if code == http.StatusOK {
		w.WriteHeader(code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // who has gone need not know
}

// take works on a request.
func (h *Handler) take(r *http.Request, database, schema, table string) (code int, text string) {
	t, err := h.Find(database, schema, table)
	if err != nil {
		return h.failed(err)
	}
	defer t.Close()
	spec, err := t.Spec()
	if err != nil {
		return h.failed(err)
	}
	c, err := parse(spec)
	if err != nil {
		return h.failed(err)
	}
	if t.Paused() {
		return http.StatusServiceUnavailable, fmt.Sprintf("table %q is paused", table)
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return http.StatusUnsupportedMediaType, fmt.Sprintf("bodies with encoding %q are not understood", e)
	}
	if r.ContentLength > c.largest {
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes", c.largest)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, c.largest+1))
	switch {
	case err != nil:
		return http.StatusBadRequest, "the body could not be read to its end"
	case int64(len(body)) > c.largest:
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("a body has at most %d bytes", c.largest)
	}
	headers, err := json.Marshal(headersOf(r))
	if err != nil {
		return h.failed(err)
	}
	ok, err := t.Verify(r.Context(), headers, body)
	if err != nil {
		return h.failed(err)
	}
	if !ok {
		return http.StatusUnauthorized, "the request does not meet the table's condition"
	}
	rows, err := c.decode(r, body)
	if codec.IsOutage(err) {
		return http.StatusServiceUnavailable, textOf(err)
	}
	if err != nil {
		return http.StatusBadRequest, textOf(err)
	}
	if rows == nil {
		return http.StatusOK, ""
	}
	if err := t.Insert(r.Context(), rows); err != nil {
		return h.failed(err)
	}
	return http.StatusOK, ""
}

// headersOf lists the headers by lower-case names; several values of one are joined as HTTP does.
func headersOf(r *http.Request) map[string]string {
	out := make(map[string]string, len(r.Header)+1)
	for name, values := range r.Header {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	out["host"] = r.Host
	return out
}

// decode makes rows of a body; nil: it holds none.
func (c *config) decode(r *http.Request, body []byte) (*delta.Chunk, error) {
	spec := &c.spec
	spec.Cols = make([]int, len(spec.Columns))
	for i := range spec.Cols {
		spec.Cols[i] = i
	}
	b, err := message.New(spec)
	if err != nil {
		return nil, err
	}
	rec := codec.Record{Timestamp: message.Timestamp(time.Now().UnixMicro())}
	headers := headersOf(r)
	for name, v := range headers {
		rec.Headers = append(rec.Headers, codec.Header{Name: name, Value: []byte(v)})
	}
	for _, col := range spec.Columns { // INCLUDE header finds a header whatever the case of its name
		if name, ok := strings.CutPrefix(col.Include, "header:"); ok && name != strings.ToLower(name) {
			if v, ok := headers[strings.ToLower(name)]; ok {
				rec.Headers = append(rec.Headers, codec.Header{Name: name, Value: []byte(v)})
			}
		}
	}
	parts := [][]byte{body}
	if c.batched || spec.Connector.Encode == "CSV" {
		if parts, err = c.split(body); err != nil {
			return nil, err
		}
	}
	for i, part := range parts {
		rec.Value = part
		if err := b.Add(&rec, fmt.Sprint(i+1)); err != nil {
			return nil, err
		}
	}
	out := b.Take(nil)
	if len(out.Errors) > 0 {
		e := out.Errors[0]
		if len(parts) > 1 {
			return nil, fmt.Errorf("row %s: %w", e.Offset, e.Err)
		}
		return nil, e.Err
	}
	return out.Chunk, nil
}

// split cuts a body into records: the elements of a JSON array, or lines.
func (c *config) split(body []byte) ([][]byte, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] == '[' && c.spec.Connector.Encode != "CSV" {
		var elems []json.RawMessage
		if err := json.Unmarshal(trimmed, &elems); err != nil {
			return nil, fmt.Errorf("the body is no JSON array: %w", err)
		}
		out := make([][]byte, len(elems))
		for i, e := range elems {
			out[i] = e
		}
		return out, nil
	}
	all := c.spec
	all.Cols = nil
	dec, _, err := codec.NewDecoder(&all)
	if err != nil {
		return nil, err
	}
	framer, ok := dec.(codec.Framer)
	if !ok {
		return [][]byte{body}, nil
	}
	if len(body) > 0 && body[len(body)-1] != '\n' {
		body = append(body, '\n')
	}
	var out [][]byte
	for len(body) > 0 {
		n := framer.Frame(body)
		if n == 0 {
			return nil, errors.New("the last row has no end")
		}
		if one := bytes.TrimRight(body[:n], "\r\n"); len(one) > 0 {
			out = append(out, one)
		}
		body = body[n:]
	}
	return out, nil
}

// failed is the answer to an error of the database.
func (h *Handler) failed(err error) (code int, text string) {
	var e *sqlerr.Error
	switch {
	case errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "the request was given up"
	case !errors.As(err, &e):
	case e.Code == sqlerr.UndefinedTable:
		return http.StatusNotFound, e.Message
	case strings.HasPrefix(string(e.Code), "22"), strings.HasPrefix(string(e.Code), "23"):
		return http.StatusBadRequest, e.Message // rows that the table cannot hold
	case e.Code == sqlerr.SerializationFailure, strings.HasPrefix(string(e.Code), "53"), strings.HasPrefix(string(e.Code), "57"):
		return http.StatusServiceUnavailable, e.Message
	}
	h.Logger.Error("webhook", "err", err)
	return http.StatusInternalServerError, "internal error"
}

func textOf(err error) string {
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return strings.Replace(err.Error(), e.Error(), e.Message, 1)
	}
	return err.Error()
}
