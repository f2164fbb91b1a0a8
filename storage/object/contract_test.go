package object_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/storage/object"
	"github.com/millrace/millrace/storage/object/objecttest"
)

var ctx = context.Background()

func s3Store(t testing.TB, server *httptest.Server, prefix string) *object.S3 {
	t.Helper()
	s, err := object.NewS3(object.S3Config{Bucket: objecttest.Bucket, Prefix: prefix, Endpoint: strings.TrimPrefix(server.URL, "http://"), Insecure: true,
		AccessKey: "key", SecretKey: "secret", Attempts: 4, RetryBase: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stores(t *testing.T) map[string]object.Store {
	file, err := object.NewFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]object.Store{
		"memory":    &objecttest.Mem{},
		"folder":    file,
		"s3":        s3Store(t, objecttest.S3Server(t, nil), ""),
		"s3 prefix": s3Store(t, objecttest.S3Server(t, nil), "some/prefix"),
		"faulty":    objecttest.NewFaulty(&objecttest.Mem{}),
	}
}

func list(t *testing.T, s object.Store, prefix string) string {
	t.Helper()
	var names []string
	for info, err := range s.List(ctx, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, fmt.Sprintf("%s:%d", info.Name, info.Size))
	}
	return strings.Join(names, " ")
}

// TestContract holds every implementation to what Store promises.
func TestContract(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) { contract(t, s) })
	}
}

func contract(t *testing.T, s object.Store) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	is := func(err, want error, op, name string) {
		t.Helper()
		var e *object.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Op != op || e.Name != name || !strings.Contains(err.Error(), op+" object") {
			t.Errorf("error is %v, want %v of %s %s", err, want, op, name)
		}
	}

	_, err := s.Get(ctx, "a/missing")
	is(err, object.ErrNotFound, "get", "a/missing")
	_, err = s.GetRange(ctx, "a/missing", 0, 1)
	is(err, object.ErrNotFound, "get", "a/missing")
	_, err = s.Stat(ctx, "a/missing")
	is(err, object.ErrNotFound, "stat", "a/missing")
	must(s.Delete(ctx, "a/missing"))

	must(s.Put(ctx, "a/x", []byte("hello")))
	must(s.Put(ctx, "a/x", []byte("hello, world")))
	must(s.Put(ctx, "a/empty", nil))
	data, err := s.Get(ctx, "a/x")
	must(err)
	if string(data) != "hello, world" {
		t.Errorf("get gives %q", data)
	}
	if data, err = s.Get(ctx, "a/empty"); err != nil || len(data) != 0 {
		t.Errorf("get of an empty object gives %q, %v", data, err)
	}
	for _, r := range []struct {
		offset, n int64
		want      string
	}{{0, 5, "hello"}, {7, 5, "world"}, {7, 100, "world"}, {12, 3, ""}, {50, 3, ""}, {3, 0, ""}} {
		if data, err := s.GetRange(ctx, "a/x", r.offset, r.n); err != nil || string(data) != r.want {
			t.Errorf("range %d+%d gives %q, %v", r.offset, r.n, data, err)
		}
	}
	info, err := s.Stat(ctx, "a/x")
	if err != nil || info.Name != "a/x" || info.Size != 12 || info.ModTime.IsZero() {
		t.Errorf("stat gives %+v, %v", info, err)
	}

	must(s.PutIfAbsent(ctx, "a/y", []byte("first")))
	is(s.PutIfAbsent(ctx, "a/y", []byte("second")), object.ErrExists, "put", "a/y")
	is(s.PutIfAbsent(ctx, "a/y", []byte("first")), object.ErrExists, "put", "a/y")
	if data, _ := s.Get(ctx, "a/y"); string(data) != "first" {
		t.Errorf("the loser overwrote the winner: %q", data)
	}
	oneWinner(t, s)

	must(s.Put(ctx, "a-b/z", []byte("1")))
	must(s.Put(ctx, "b", []byte("22")))
	for prefix, want := range map[string]string{
		"":       "a-b/z:1 a/empty:0 a/race:1 a/x:12 a/y:5 b:2",
		"a":      "a-b/z:1 a/empty:0 a/race:1 a/x:12 a/y:5",
		"a/":     "a/empty:0 a/race:1 a/x:12 a/y:5",
		"a/x":    "a/x:12",
		"c":      "",
		"none/x": "",
	} {
		if got := list(t, s, prefix); got != want {
			t.Errorf("list of %q gives %s", prefix, got)
		}
	}
	for range s.List(ctx, "a") {
		break // a consumer may stop
	}
	must(s.Delete(ctx, "a/x"))
	if _, err = s.Get(ctx, "a/x"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("a deleted object gives %v", err)
	}

	files(t, s)
	for _, bad := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a b", "a\\b", "ä", strings.Repeat("x", 600)} {
		if s.Put(ctx, bad, nil) == nil {
			t.Errorf("name %q is accepted", bad)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	is(s.Put(cancelled, "a/c", nil), context.Canceled, "put", "a/c")
	_, err = s.Get(cancelled, "a/y")
	is(err, context.Canceled, "get", "a/y")
	for _, err := range s.List(cancelled, "a") {
		is(err, context.Canceled, "list", "a")
	}
}

// oneWinner lets several callers create one object.
func oneWinner(t *testing.T, s object.Store) {
	var wins atomic.Int32
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			switch err := s.PutIfAbsent(ctx, "a/race", []byte{byte('0' + i)}); {
			case err == nil:
				wins.Add(1)
			case !errors.Is(err, object.ErrExists):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d callers created one object", wins.Load())
	}
}

// files checks the ways between objects and local files.
func files(t *testing.T, s object.Store) {
	dir := t.TempDir()
	local, back := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	content := bytes.Repeat([]byte("0123456789"), 100_000)
	if err := os.WriteFile(local, content, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time both exist already
		if err := object.PutFile(ctx, s, "files/f", local); err != nil {
			t.Fatal(err)
		}
		if err := object.GetFile(ctx, s, "files/f", back); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, content) {
			t.Errorf("file comes back with %d bytes, %v", len(got), err)
		}
	}
	if err := object.GetFile(ctx, s, "files/missing", back+"2"); !errors.Is(err, object.ErrNotFound) {
		t.Errorf("a missing object as a file gives %v", err)
	}
	if err := object.PutFile(ctx, s, "files/g", filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file as an object gives %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if got := list(t, s, "files/"); got != "files/f:1000000" {
		t.Errorf("objects are %s", got)
	}
}

// What a crash left half-written is no object, and is removed.
func TestFolderIgnoresLeftovers(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, ".tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, ".tmp", "half"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := object.NewFile(root)
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, ""); got != "" {
		t.Errorf("objects are %s", got)
	}
	if entries, _ := os.ReadDir(filepath.Join(root, ".tmp")); len(entries) != 0 {
		t.Error("leftovers stay")
	}
}

// flaky lets requests of a method fail: with a status, or by losing the answer.
type flaky struct {
	next     http.Handler
	method   string
	failures atomic.Int32
	status   int  // 0: cut the connection
	after    bool // the request takes effect
	requests atomic.Int32
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != f.method || f.failures.Add(-1) < 0 {
		if r.Method == f.method {
			f.requests.Add(1)
		}
		f.next.ServeHTTP(w, r)
		return
	}
	f.requests.Add(1)
	if f.after {
		f.next.ServeHTTP(httptest.NewRecorder(), r)
	}
	if f.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(f.status)
}

func flakyStore(t *testing.T, f *flaky) *object.S3 {
	return s3Store(t, objecttest.S3Server(t, func(h http.Handler) http.Handler {
		f.next = h
		return f
	}), "")
}

func TestS3Retries(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		after  bool
	}{{"500", 500, false}, {"503 slow down", 503, false}, {"429", 429, false}, {"connection cut", 0, false}, {"answer lost", 0, true}} {
		t.Run(c.name, func(t *testing.T) {
			put := &flaky{method: http.MethodPut, status: c.status, after: c.after}
			s := flakyStore(t, put)
			put.failures.Store(2)
			if err := s.Put(ctx, "a", []byte("1")); err != nil {
				t.Error(err)
			}
			// Whose object it is must be found out when the first attempt took effect unheard.
			put.failures.Store(1)
			if err := s.PutIfAbsent(ctx, "b", []byte("1")); err != nil {
				t.Error(err)
			}
			if err := s.PutIfAbsent(ctx, "b", []byte("1")); !errors.Is(err, object.ErrExists) {
				t.Errorf("second creation gives %v", err)
			}
			put.failures.Store(100)
			put.requests.Store(0)
			err := s.Put(ctx, "c", []byte("1"))
			if !object.Retryable(err) {
				t.Errorf("a server that is down gives %v", err)
			}
			if n := put.requests.Load(); n != 4 {
				t.Errorf("%d attempts", n)
			}
		})
	}
	get := &flaky{method: http.MethodGet, status: 503}
	s := flakyStore(t, get)
	if err := s.Put(ctx, "a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	get.failures.Store(2)
	if data, err := s.Get(ctx, "a"); err != nil || string(data) != "1" {
		t.Errorf("get gives %q, %v", data, err)
	}
	denied := &flaky{method: http.MethodPut, status: 403}
	s = flakyStore(t, denied)
	denied.failures.Store(100)
	if err := s.Put(ctx, "a", nil); err == nil || object.Retryable(err) || denied.requests.Load() != 1 {
		t.Errorf("a refusal gives %v after %d requests", err, denied.requests.Load())
	}
}

func TestOpen(t *testing.T) {
	server := objecttest.S3Server(t, nil)
	env := map[string]string{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
	getenv := func(name string) string { return env[name] }
	dir := t.TempDir()
	for _, url := range []string{
		"file://" + dir + "/new/objects",
		"s3://bucket/prefix?endpoint=" + server.URL,
		"s3://bucket?region=eu-central-1&access_key=k&secret_key=s%2Fs&endpoint=" + server.URL,
	} {
		s, err := object.Open(ctx, url, getenv)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := s.Put(ctx, "x", []byte("1")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for url, want := range map[string]string{
		"file://folder":                      "file:///folder",
		"file://":                            "no folder",
		"/plain/path":                        "scheme",
		"ftp://x/y":                          "scheme",
		"s3:///x":                            "no bucket",
		"s3://bucket?secret=hush":            "unknown parameter",
		"s3://bucket?endpoint=ftp://x":       "http or https",
		"s3://bucket?endpoint=http://x/path": "without a path",
		"s3://bucket/../x?secret_key=hush":   "dotted",
		"s3://bucket?secret_key=hush\x7f":    "malformed",
		"s3://none?secret_key=hush&endpoint=" + server.URL: "NoSuchBucket",
	} {
		_, err := object.Open(ctx, url, getenv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A server that does not know conditional writes would let two databases overwrite each other.
func TestOpenRefusesServersWithoutConditions(t *testing.T) {
	server := objecttest.S3Server(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-None-Match")
			h.ServeHTTP(w, r)
		})
	})
	_, err := object.Open(ctx, "s3://bucket?access_key=k&secret_key=s&endpoint="+server.URL, nil)
	if err == nil || !strings.Contains(err.Error(), "If-None-Match") {
		t.Errorf("open gives %v", err)
	}
}

func TestFaulty(t *testing.T) {
	mem := &objecttest.Mem{}
	f := objecttest.NewFaulty(mem)
	f.FailAt(2, false, false)
	if err := f.Put(ctx, "a", nil); err != nil {
		t.Error(err)
	}
	if err := f.Put(ctx, "b", nil); !errors.Is(err, objecttest.ErrInjected) {
		t.Error(err)
	}
	if err := f.Put(ctx, "c", nil); err != nil {
		t.Error(err)
	}
	f.FailAt(1, true, true)
	if err := f.Put(ctx, "d", nil); !errors.Is(err, objecttest.ErrInjected) {
		t.Error(err)
	}
	if _, err := f.Get(ctx, "a"); !errors.Is(err, objecttest.ErrInjected) {
		t.Error(err)
	}
	if got := strings.Join(mem.Names(""), " "); got != "a c d" {
		t.Errorf("objects are %s", got)
	}
	if f.Ops("") != 5 || f.Ops("put") != 4 {
		t.Errorf("%d operations, %d puts", f.Ops(""), f.Ops("put"))
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{"a": true, "a/b-c_1.sst": true, "sst/1/2-000003.sst": true, "a/.b": false, "a/..": false} {
		if (object.CheckName(name) == nil) != ok {
			t.Errorf("name %q: %v", name, object.CheckName(name))
		}
	}
}
