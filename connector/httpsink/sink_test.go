package httpsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// target is a server that remembers requests, and takes each idempotency key once.
type target struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  map[string]string // by key
	order   []string          // "key body", of all requests
	headers []http.Header
	status  []int // what the next requests are answered; then 200
	after   string
}

func newTarget(t testing.TB) *target {
	t.Helper()
	s := &target{bodies: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		s.order, s.headers = append(s.order, key+" "+string(b)), append(s.headers, r.Header)
		if len(s.status) > 0 {
			code := s.status[0]
			s.status = s.status[1:]
			w.Header().Set("Retry-After", s.after)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, "because")
			return
		}
		if old, ok := s.bodies[key]; ok && old != string(b) {
			t.Errorf("key %s came with another body", key)
		}
		s.bodies[key] = string(b)
	}))
	t.Cleanup(s.Close)
	return s
}

func sinkSpec(url string, options ...string) *connector.SinkSpec {
	o := map[string]string{"url": url}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "k", ID: 9, Instance: "c-9", Connector: catalog.Connector{Name: "http", Options: o, Format: "PLAIN", Encode: "JSON"},
		Columns: conntest.SinkColumns(), AppendOnly: true}
}

// TestSinkContract: a server that remembers keys has every row once.
func TestSinkContract(t *testing.T) {
	s := newTarget(t)
	type row struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}
	conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: sinkSpec(s.URL, "batch.rows", "2"), Row: func(id int64, name string) string { return fmt.Sprint(row{id, name}) },
		Visible: func(t *testing.T) (out []string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, b := range s.bodies {
				var rows []row
				if err := json.Unmarshal([]byte(b), &rows); err != nil {
					t.Fatal(err)
				}
				for _, r := range rows {
					out = append(out, fmt.Sprint(r))
				}
			}
			return out
		}})
	n := 0
	for _, b := range s.bodies {
		n += strings.Count(b, `"id"`)
	}
	if n != 6 {
		t.Errorf("the server has %d rows, want 6", n)
	}
}

func TestBodies(t *testing.T) {
	gone := func() *delta.Chunk {
		b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
		b.AppendDatums([]sqltypes.Datum{int64(1), "old"}, -1)
		b.AppendDatums([]sqltypes.Datum{int64(1), "new"}, 1)
		b.AppendDatums([]sqltypes.Datum{int64(2), "b"}, -1)
		return b.Take()
	}
	upsert := func(s *connector.SinkSpec) {
		s.Connector.Format, s.Key, s.AppendOnly = "UPSERT", []int{0}, false
	}
	for _, tt := range []struct {
		name    string
		options []string
		change  func(*connector.SinkSpec)
		rows    *delta.Chunk
		want    string
		content string
	}{
		{"array", nil, nil, conntest.SinkRows(1, 2), `c-9-5-0 [{"id":1,"name":"row b"},{"id":2,"name":"row c"}]`, "application/json"},
		{"lines", []string{"body", "lines"}, nil, conntest.SinkRows(1, 2), "c-9-5-0 {\"id\":1,\"name\":\"row b\"}\n{\"id\":2,\"name\":\"row c\"}\n", "application/x-ndjson"},
		{"single", []string{"body", "single"}, nil, conntest.SinkRows(1, 2), "c-9-5-0 {\"id\":1,\"name\":\"row b\"} c-9-5-1 {\"id\":2,\"name\":\"row c\"}", "application/json"},
		{"bytes", []string{"batch.bytes", "10"}, nil, conntest.SinkRows(1, 2), `c-9-5-0 [{"id":1,"name":"row b"}] c-9-5-1 [{"id":2,"name":"row c"}]`, "application/json"},
		{"upsert", nil, upsert, gone(), `c-9-5-0 [{"key":{"id":1},"value":{"id":1,"name":"new"}},{"key":{"id":2},"value":null}]`, "application/json"},
		{"content type", []string{"header.Content-Type", "text/x"}, nil, conntest.SinkRows(1), `c-9-5-0 [{"id":1,"name":"row b"}]`, "text/x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTarget(t)
			spec := sinkSpec(s.URL, append(tt.options, "header.X-Extra", "yes")...)
			if tt.change != nil {
				tt.change(spec)
			}
			w, err := Sink{}.Open(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err := w.Write(t.Context(), 5, tt.rows); err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(t.Context(), 5); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(s.order, " "); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
			h := s.headers[0]
			if h.Get("Content-Type") != tt.content || h.Get("X-Extra") != "yes" || h.Get("X-Millrace-Epoch") != "5" || h.Get("X-Millrace-Sequence") != "0" {
				t.Errorf("headers are %v", h)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status []int
		code   sqlerr.Code // "": delivered in the end
		tries  int
	}{
		{"busy for a while", []int{503, 429, 500}, "", 4},
		{"busy for ever", []int{503, 503, 503, 503, 503}, sqlerr.ExternalRoutineException, 4},
		{"bad request", []int{400}, sqlerr.ExternalRoutineException, 1},
		{"wrong token", []int{401}, sqlerr.InvalidPassword, 1},
		{"forbidden", []int{403}, sqlerr.InsufficientPrivilege, 1},
		{"redirect", []int{302}, sqlerr.ExternalRoutineException, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newTarget(t)
			s.status = tt.status
			w, err := Sink{}.Open(t.Context(), sinkSpec(s.URL, "retry.max", "3", "retry.backoff", "1ms"))
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if err = w.Write(t.Context(), 5, conntest.SinkRows(1)); err == nil {
				err = w.Commit(t.Context(), 5)
			}
			if tt.code == "" && err != nil || tt.code != "" && sqlerr.CodeOf(err) != tt.code {
				t.Errorf("Commit = %v, want %s", err, tt.code)
			}
			var e *sqlerr.Error
			if tt.code != "" && (!errors.As(err, &e) || e.Detail != "because" || !strings.Contains(e.Message, fmt.Sprint(tt.status[0]))) {
				t.Errorf("the error does not say what the server did: %v", err)
			}
			if len(s.order) != tt.tries {
				t.Errorf("%d requests, want %d", len(s.order), tt.tries)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "-3": 0, "soon": 0, "Thu, 01 Jan 2026 00:00:20 GMT": 20 * time.Second,
		"Wed, 31 Dec 2025 00:00:00 GMT": 0, "999999": 10 * time.Minute} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", text, got, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	s := newTarget(t)
	for _, tt := range []struct {
		name string
		spec *connector.SinkSpec
		code sqlerr.Code
		text string
	}{
		{"no server", sinkSpec("http://127.0.0.1:1/x"), sqlerr.ConnectionFailure, "could not reach 127.0.0.1:1"},
		{"url", sinkSpec("ftp://x"), sqlerr.InvalidParameterValue, "must be http://"},
		{"method", sinkSpec(s.URL, "method", "GET"), sqlerr.InvalidParameterValue, `"method" must be one of`},
		{"header", sinkSpec(s.URL, "header.a b", "x"), sqlerr.InvalidParameterValue, "is not a header"},
		{"header value", sinkSpec(s.URL, "header.a", "x\ny"), sqlerr.InvalidParameterValue, "is not a header"},
		{"ca", sinkSpec(s.URL, "tls.ca", "/nowhere"), sqlerr.InvalidParameterValue, "cannot be used"},
	} {
		err := Sink{}.Validate(t.Context(), tt.spec)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
	if len(s.order) != 0 {
		t.Error("Validate has sent a request")
	}
}
