package webhook

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// table is a table in memory.
type table struct {
	spec    connector.SourceSpec
	paused  bool
	refuse  error
	allowed func(headers, payload string) bool
	rows    []string
	closed  int
}

func (t *table) Spec() (*connector.SourceSpec, error) { spec := t.spec; return &spec, nil }
func (t *table) Paused() bool                         { return t.paused }
func (t *table) Close()                               { t.closed++ }

func (t *table) Verify(_ context.Context, headers, payload []byte) (bool, error) {
	return t.allowed == nil || t.allowed(string(headers), string(payload)), nil
}

func (t *table) Insert(_ context.Context, c *delta.Chunk) error {
	if t.refuse == nil {
		t.rows = append(t.rows, conntest.Rows(c)...)
	}
	return t.refuse
}

// post sends a request and returns status and body.
func post(t *testing.T, tb *table, change func(*http.Request), body string) (int, string) {
	t.Helper()
	h := New(func(database, schema, name string) (Table, error) {
		if database != "dev" || schema != "public" || name != "t" {
			return nil, sqlerr.New(sqlerr.UndefinedTable, "there is no webhook %q", name)
		}
		return tb, nil
	}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	r := httptest.NewRequest(http.MethodPost, "/webhook/dev/public/t", strings.NewReader(body))
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func columns(encode string, options map[string]string, cols ...catalog.Column) connector.SourceSpec {
	c := catalog.Connector{Name: "webhook", Options: options, Encode: encode, FormatOptions: map[string]string{}}
	if encode != "" {
		c.Format = "PLAIN"
	}
	if encode == "CSV" {
		c.FormatOptions["without_header"] = "true"
	}
	return connector.SourceSpec{Name: "t", Columns: cols, Connector: c}
}

var (
	whole    = catalog.Column{Name: "data", Type: sqltypes.JSONB}
	id       = catalog.Column{Name: "id", Type: sqltypes.Int8}
	name     = catalog.Column{Name: "name", Type: sqltypes.Text}
	event    = catalog.Column{Name: "event", Type: sqltypes.Text, Include: "header:X-Event"}
	everyone = catalog.Column{Name: "h", Type: sqltypes.JSONB, Include: "header"}
)

func TestBodies(t *testing.T) {
	batched := map[string]string{"is_batched": "true"}
	for _, tt := range []struct {
		name string
		spec connector.SourceSpec
		body string
		code int
		want string
	}{
		{"whole", columns("", nil, whole), `{"a": 1}`, 200, `{"a": 1}`},
		{"whole array", columns("", nil, whole), `[1,2]`, 200, `[1, 2]`},
		{"whole, lines", columns("", batched, whole), "{\"a\":1}\n\n{\"a\":2}", 200, `{"a": 1};{"a": 2}`},
		{"whole, elements", columns("", batched, whole), ` [{"a":1}, 7]`, 200, `{"a": 1};7`},
		{"columns", columns("", nil, id, name), `{"id":1,"name":"x","other":[]}`, 200, `1|x`},
		{"columns, lines", columns("JSON", batched, id, name), "{\"id\":1}\r\n{\"id\":2}\n", 200, `1|NULL;2|NULL`},
		{"columns, elements", columns("JSON", batched, id, name), `[{"id":1},{"id":2}]`, 200, `1|NULL;2|NULL`},
		{"csv", columns("CSV", nil, id, name), "1,x\n2,\"a\nb\"", 200, "1|x;2|a\nb"},
		{"nothing", columns("JSON", batched, id), "\n", 200, ""},
		{"header", columns("", nil, id, event), `{"id":1}`, 200, "1|push"},
		{"all headers", columns("", nil, id, everyone), `{"id":1}`, 200, `1|{"host": "example.com", "x-event": "push"}`},
		{"no json", columns("", nil, whole), `{"a":`, 400, ""},
		{"empty", columns("", nil, whole), "", 400, ""},
		{"wrong type", columns("", nil, id), `{"id":"many"}`, 400, ""},
		{"one of several", columns("JSON", batched, id), "{\"id\":1}\n{\"id\":\"many\"}", 400, ""},
		{"too large", columns("", map[string]string{"max_body_bytes": "10"}, whole), `"0123456789"`, 413, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tb := &table{spec: tt.spec}
			code, text := post(t, tb, func(r *http.Request) { r.Header.Set("X-Event", "push") }, tt.body)
			if code != tt.code || strings.Join(tb.rows, ";") != tt.want {
				t.Errorf("%d %s, rows %q; want %d, %q", code, text, tb.rows, tt.code, tt.want)
			}
			if code == 200 && text != "" || code != 200 && !strings.Contains(text, `"error"`) {
				t.Errorf("the answer is %q", text)
			}
			if tb.closed != 1 {
				t.Errorf("the table was closed %d times", tb.closed)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*table, *http.Request)
		code   int
		text   string
	}{
		{"unknown table", func(_ *table, r *http.Request) { r.URL.Path = "/webhook/dev/public/u" }, 404, "there is no webhook"},
		{"unknown path", func(_ *table, r *http.Request) { r.URL.Path = "/" }, 404, "webhooks are at"},
		{"health", func(_ *table, r *http.Request) { r.URL.Path = "/health" }, 200, ""},
		{"GET", func(_ *table, r *http.Request) { r.Method = http.MethodGet }, 405, "POST"},
		{"condition", func(tb *table, _ *http.Request) { tb.allowed = func(h, p string) bool { return p != "{}" } }, 401, "condition"},
		{"paused", func(tb *table, _ *http.Request) { tb.paused = true }, 503, "paused"},
		{"encoding", func(_ *table, r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, 415, "gzip"},
		{"not null", func(tb *table, _ *http.Request) {
			tb.refuse = sqlerr.New(sqlerr.NotNullViolation, "null value in column")
		}, 400, "null value"},
		{"busy", func(tb *table, _ *http.Request) { tb.refuse = sqlerr.New(sqlerr.DiskFull, "disk full") }, 503, "disk full"},
		{"broken", func(tb *table, _ *http.Request) { tb.refuse = errors.New("the inside of things") }, 500, "internal error"},
		{"dropped meanwhile", func(tb *table, _ *http.Request) { tb.refuse = sqlerr.New(sqlerr.UndefinedTable, "gone") }, 404, "gone"},
	} {
		tb := &table{spec: columns("", nil, whole)}
		code, text := post(t, tb, func(r *http.Request) { tt.change(tb, r) }, "{}")
		if code != tt.code || !strings.Contains(text, tt.text) || strings.Contains(text, "inside of things") || len(tb.rows) != 0 {
			t.Errorf("%s: %d %s, want %d %q", tt.name, code, text, tt.code, tt.text)
		}
	}
}

// TestTheConditionSeesTheRequest: header names are in lower case, the payload is as it was sent.
func TestTheConditionSeesTheRequest(t *testing.T) {
	tb := &table{spec: columns("", nil, whole)}
	tb.allowed = func(h, p string) bool {
		return strings.Contains(h, `"x-signature":"a, b"`) && p == " {} "
	}
	code, text := post(t, tb, func(r *http.Request) { r.Header.Add("X-Signature", "a"); r.Header.Add("x-signature", "b") }, " {} ")
	if code != 200 {
		t.Errorf("%d %s", code, text)
	}
}

func TestRefuses(t *testing.T) {
	for name, spec := range map[string]connector.SourceSpec{
		"format":  {Columns: []catalog.Column{id}, Connector: catalog.Connector{Format: "UPSERT", Encode: "JSON"}},
		"option":  columns("", map[string]string{"is_batch": "true"}, id),
		"size":    columns("", map[string]string{"max_body_bytes": "0"}, id),
		"include": columns("", nil, id, catalog.Column{Name: "o", Type: sqltypes.Int8, Include: "offset"}),
	} {
		if _, err := (Source{}).Validate(t.Context(), &spec); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
			t.Errorf("%s: %v", name, err)
		}
	}
}
