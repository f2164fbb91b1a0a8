package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// real starts a redis-server with further arguments, "" when it is not installed.
func realServer(t testing.TB, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return ""
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	l.Close()
	cmd := exec.Command(path, append([]string{"--port", fmt.Sprint(addr.Port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return addr.String()
		}
	}
	t.Fatal("redis-server does not start")
	return ""
}

// servers runs a test on each server there is.
func servers(t *testing.T, f func(t *testing.T, addr string)) {
	t.Run("in process", func(t *testing.T) { f(t, miniredis.RunT(t).Addr()) })
	t.Run("redis-server", func(t *testing.T) {
		addr := realServer(t)
		if addr == "" {
			t.Skip("redis-server is not installed")
		}
		f(t, addr)
	})
}

func sinkSpec(url string, options ...string) *connector.SinkSpec {
	o := map[string]string{"redis.url": url}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "k", ID: 9, Connector: catalog.Connector{Name: "redis", Options: o, Format: "UPSERT", Encode: "JSON"},
		Columns: conntest.SinkColumns(), Key: []int{0}}
}

// contents lists keys and values.
func contents(t testing.TB, cl redis.UniversalClient) (out []string) {
	t.Helper()
	keys, err := cl.Keys(context.Background(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		v, err := cl.Get(context.Background(), k).Result()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, k+" = "+v)
	}
	slices.Sort(out)
	return out
}

func TestSinkContract(t *testing.T) {
	servers(t, func(t *testing.T, addr string) {
		cl := redis.NewClient(&redis.Options{Addr: addr})
		defer cl.Close()
		conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: sinkSpec("redis://" + addr), Visible: func(t *testing.T) []string { return contents(t, cl) },
			Row: func(id int64, name string) string {
				return fmt.Sprintf(`{"id":%d} = {"id":%d,"name":%q}`, id, id, name)
			}})
		if n := len(contents(t, cl)); n != 6 { // the epoch that came twice is there once
			t.Errorf("%d keys", n)
		}
	})
}

// change makes a chunk of one change for each row "id name", with a minus in front for a deleted one.
func change(rows ...string) *delta.Chunk {
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Text})
	for _, r := range rows {
		weight := int64(1)
		r, gone := strings.CutPrefix(r, "-")
		if gone {
			weight = -1
		}
		var id int64
		var name string
		_, _ = fmt.Sscan(r, &id, &name)
		var d sqltypes.Datum = name
		if name == "" {
			d = nil
		}
		b.AppendDatums([]sqltypes.Datum{id, d}, weight)
	}
	return b.Take()
}

func TestUpdatesAndDeletes(t *testing.T) {
	json := func(url string) *connector.SinkSpec { return sinkSpec(url) }
	template := func(url string) *connector.SinkSpec {
		s := sinkSpec(url)
		s.Connector.Encode, s.Connector.FormatOptions = "TEMPLATE", map[string]string{"key_format": "user:{id}", "value_format": "{{{name}}} no. {id}"}
		return s
	}
	for name, c := range map[string]struct {
		spec func(string) *connector.SinkSpec
		want string
	}{
		"json":     {json, `{"id":2} = {"id":2,"name":"new"}; {"id":3} = {"id":3,"name":null}`},
		"template": {template, `user:2 = {new} no. 2; user:3 = {NULL} no. 3`},
	} {
		t.Run(name, func(t *testing.T) {
			servers(t, func(t *testing.T, addr string) {
				w, err := Sink{}.Open(t.Context(), c.spec("redis://"+addr))
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				for epoch, rows := range [][]string{{"1 a", "2 b", "3"}, {"-1 a", "-2 b", "2 new"}} {
					if err := w.Write(t.Context(), uint64(epoch), change(rows...)); err != nil {
						t.Fatal(err)
					}
					if err := w.Commit(t.Context(), uint64(epoch)); err != nil {
						t.Fatal(err)
					}
				}
				cl := redis.NewClient(&redis.Options{Addr: addr})
				defer cl.Close()
				if got := strings.Join(contents(t, cl), "; "); got != c.want {
					t.Errorf("got %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// TestManyRows: an epoch of more commands than a pipeline has.
func TestManyRows(t *testing.T) {
	m := miniredis.RunT(t)
	w, err := Sink{}.Open(t.Context(), sinkSpec("redis://"+m.Addr(), "redis.ttl", "1h"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var ids []int64
	for i := range int64(2*pipelined + 5) {
		ids = append(ids, i)
	}
	if err := w.Write(t.Context(), 1, conntest.SinkRows(ids...)); err != nil {
		t.Fatal(err)
	}
	if n := len(m.Keys()); n != 2*pipelined {
		t.Errorf("%d keys before the commit", n)
	}
	if err := w.Commit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := len(m.Keys()); n != len(ids) {
		t.Errorf("%d keys, want %d", n, len(ids))
	}
	if ttl := m.TTL(m.Keys()[0]); ttl != time.Hour {
		t.Errorf("a key lives for %v", ttl)
	}
}

// TestCluster: keys are spread over the servers of a cluster (here: one server has all slots).
func TestCluster(t *testing.T) {
	addr := realServer(t, "--cluster-enabled", "yes")
	if addr == "" {
		t.Skip("redis-server is not installed")
	}
	one := redis.NewClient(&redis.Options{Addr: addr})
	defer one.Close()
	if err := one.ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if info, err := one.ClusterInfo(t.Context()).Result(); err == nil && strings.Contains(info, "cluster_state:ok") {
			break
		}
	}
	spec := sinkSpec(`["redis://` + addr + `/"]`)
	if err := (Sink{}).Validate(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	w, err := Sink{}.Open(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Write(t.Context(), 1, change("1 a", "2 b", "3 c")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, one); len(got) != 3 {
		t.Errorf("the cluster holds %q", got)
	}
}

func TestServerGoes(t *testing.T) {
	m := miniredis.RunT(t)
	w, err := Sink{}.Open(t.Context(), sinkSpec("redis://"+m.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	m.Close()
	err = w.Write(t.Context(), 1, change("1 a"))
	if err == nil {
		err = w.Commit(t.Context(), 1)
	}
	if sqlerr.CodeOf(err) != sqlerr.ConnectionFailure {
		t.Errorf("Commit = %v", err)
	}
}

func TestRefuses(t *testing.T) {
	m := miniredis.RunT(t)
	url := "redis://" + m.Addr()
	locked := miniredis.RunT(t)
	locked.RequireAuth("right")
	template := func(key, value string) func(*connector.SinkSpec) {
		return func(s *connector.SinkSpec) {
			s.Connector.Encode, s.Connector.FormatOptions = "TEMPLATE", map[string]string{"key_format": key, "value_format": value}
		}
	}
	for _, tt := range []struct {
		name   string
		spec   *connector.SinkSpec
		change func(*connector.SinkSpec)
		code   sqlerr.Code
		text   string
	}{
		{"no server", sinkSpec("redis://127.0.0.1:1"), nil, sqlerr.ConnectionFailure, "could not reach Redis at 127.0.0.1:1"},
		{"no password", sinkSpec("redis://" + locked.Addr()), nil, sqlerr.InvalidPassword, "refuses the password"},
		{"wrong password", sinkSpec("redis://"+locked.Addr(), "redis.password", "wrong"), nil, sqlerr.InvalidPassword, "refuses the password"},
		{"url", sinkSpec("http://x"), nil, sqlerr.InvalidParameterValue, "redis://"},
		{"list", sinkSpec("[x"), nil, sqlerr.InvalidParameterValue, "JSON list"},
		{"key", sinkSpec(url), func(s *connector.SinkSpec) { s.Key, s.AppendOnly, s.Connector.Format = nil, true, "PLAIN" }, sqlerr.InvalidParameterValue, "needs a primary key"},
		{"debezium", sinkSpec(url), func(s *connector.SinkSpec) { s.Connector.Format = "DEBEZIUM" }, sqlerr.InvalidParameterValue, "no FORMAT DEBEZIUM"},
		{"encode", sinkSpec(url), func(s *connector.SinkSpec) { s.Connector.Encode = "XML" }, sqlerr.FeatureNotSupported, "ENCODE XML"},
		{"column", sinkSpec(url), template("{id}", "{nam}"), sqlerr.UndefinedColumn, `column "nam" named in value_format`},
		{"brace", sinkSpec(url), template("{id", "x"), sqlerr.InvalidParameterValue, "without its other half"},
		{"key column", sinkSpec(url), template("{name}", "x"), sqlerr.InvalidParameterValue, "not part of the primary key"},
		{"key constant", sinkSpec(url), template("fixed", "x"), sqlerr.InvalidParameterValue, "two rows could have one key"},
		{"no value", sinkSpec(url), template("{id}", ""), sqlerr.InvalidParameterValue, `needs the option "value_format"`},
	} {
		if tt.change != nil {
			tt.change(tt.spec)
		}
		err := Sink{}.Validate(t.Context(), tt.spec)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Message, tt.text) {
			t.Errorf("%s: %v, want %s %q", tt.name, err, tt.code, tt.text)
		}
	}
	if err := (Sink{}).Validate(t.Context(), sinkSpec("redis://:right@"+locked.Addr())); err != nil {
		t.Error(err)
	}
}
