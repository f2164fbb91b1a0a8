package registry

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

func client(t *testing.T, options ...string) *Client {
	t.Helper()
	values := map[string]string{}
	for i := 0; i+1 < len(options); i += 2 {
		values[options[i]] = options[i+1]
	}
	o := option.New("test", values)
	c := Parse(o)
	if err := o.Done(); err != nil {
		t.Fatal(err)
	}
	out, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAsksOnce: a schema is fetched once, and an id that does not exist is not asked for with each record.
func TestAsksOnce(t *testing.T) {
	reg := srfake.New()
	defer reg.Close()
	id, _, err := reg.RegisterSchema("a", sr.Schema{Schema: `"string"`})
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	reg.Intercept(func(http.ResponseWriter, *http.Request) bool { asked.Add(1); return false })
	c := client(t, "schema.registry", reg.URL())
	for range 5 {
		if s, err := c.ByID(t.Context(), id); err != nil || s.Text != `"string"` || s.Kind != "AVRO" {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := c.ByID(t.Context(), 99); sqlerr.CodeOf(err) != sqlerr.UndefinedObject || IsOutage(err) {
			t.Fatalf("unknown id: %v", err)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	c.mu.missing[99] = c.mu.missing[99].Add(-askAgain) // later
	reg.SeedSchema("late", 1, 99, sr.Schema{Schema: `"int"`})
	if s, err := c.ByID(t.Context(), 99); err != nil || s.Text != `"int"` {
		t.Errorf("once it is there: %+v, %v", s, err)
	}
}

// TestReferences come in the order in which they build on one another, each once.
func TestReferences(t *testing.T) {
	reg := srfake.New()
	defer reg.Close()
	add := func(subject string, refs ...string) int {
		s := sr.Schema{Schema: `{"type":"record","name":"` + subject + `","fields":[]}`}
		for _, r := range refs {
			s.References = append(s.References, sr.SchemaReference{Name: r, Subject: r, Version: 1})
		}
		id, _, err := reg.RegisterSchema(subject, s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	add("a")
	add("b", "a")
	add("c", "a", "b")
	id := add("d", "c", "b")
	s, err := client(t, "schema.registry", reg.URL()).ByID(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range s.References {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, " "); got != "a b c" {
		t.Errorf("references are %s", got)
	}
}

// TestTLS trusts what it was told to trust.
func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"subject":"a","version":1,"id":7,"schema":"\"int\""}`)
	}))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := client(t, "schema.registry", srv.URL, "schema.registry.ca", ca).Latest(t.Context(), "a"); err != nil || s.ID != 7 {
		t.Errorf("trusted: %+v, %v", s, err)
	}
	if _, err := client(t, "schema.registry", srv.URL).Latest(t.Context(), "a"); !IsOutage(err) {
		t.Errorf("not trusted: %v", err)
	}
	if _, err := New(&Config{URLs: []string{srv.URL}, CA: ca + "x"}); sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue {
		t.Errorf("no such file: %v", err)
	}
}

// TestErrors says whose fault it is.
func TestErrors(t *testing.T) {
	status := http.StatusOK
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error_code":1,"message":"because"}`)
	}))
	defer srv.Close()
	c := client(t, "schema.registry", srv.URL, "schema.registry.username", "me")
	for s, want := range map[int]sqlerr.Code{401: sqlerr.InvalidPassword, 403: sqlerr.InsufficientPrivilege, 404: sqlerr.UndefinedObject, 500: sqlerr.ConnectionFailure, 503: sqlerr.ConnectionFailure} {
		status = s
		if _, err := c.Latest(t.Context(), "a"); sqlerr.CodeOf(err) != want || IsOutage(err) != (s != 404) {
			t.Errorf("status %d: %v, want %s", s, err, want)
		}
	}
	for _, s := range []int{409, 422} {
		status = s
		if _, err := c.Register(t.Context(), "a", "AVRO", `"int"`); sqlerr.CodeOf(err) != sqlerr.DatatypeMismatch || !strings.Contains(sqlerr.From(err).Detail, "because") {
			t.Errorf("register, status %d: %v", s, err)
		}
	}
}
