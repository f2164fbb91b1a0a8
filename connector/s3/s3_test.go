package s3

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/klauspost/compress/zstd"
	"github.com/minio/minio-go/v7"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/filesink"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fixture is a server with an empty bucket "bucket". die, when above 0, counts down the requests that change something; from the
// last one on nothing is answered.
type fixture struct {
	t    *testing.T
	url  string
	die  atomic.Int64
	dead atomic.Bool
	gets atomic.Int64 // requests that read
	*bucket
}

func start(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t}
	backend := s3mem.New()
	must(t, backend.CreateBucket("bucket"))
	inner := gofakes3.New(backend, gofakes3.WithLogger(gofakes3.StdLog(log.New(io.Discard, "", 0)))).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			f.gets.Add(1)
		} else if f.die.Load() > 0 && f.die.Add(-1) == 0 {
			f.dead.Store(true)
		}
		if f.dead.Load() {
			http.Error(w, "dead", http.StatusForbidden) // an answer that is not tried again
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	b, _, err := parseSink(f.sink("JSON"))
	must(t, err)
	f.bucket = b
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) options(more ...string) map[string]string {
	o := map[string]string{"s3.bucket_name": "bucket", "s3.path": "in/here", "s3.endpoint_url": f.url, "s3.credentials.access": "a", "s3.credentials.secret": "s"}
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i]] = more[i+1]
	}
	return o
}

func (f *fixture) sink(encode string, more ...string) *connector.SinkSpec {
	return &connector.SinkSpec{Name: "out", ID: 3, Instance: "c-3", Connector: catalog.Connector{Name: "s3", Options: f.options(more...), Format: "PLAIN", Encode: encode},
		Columns: conntest.SinkColumns(), AppendOnly: true, Settings: sqlio.DefaultSettings(), Logger: slog.New(slog.DiscardHandler)}
}

func (f *fixture) source(encode string, more ...string) *connector.SourceSpec {
	return &connector.SourceSpec{Name: "s", Connector: catalog.Connector{Name: "s3", Options: f.options(append(more, "s3.poll.interval", "5ms")...), Format: "PLAIN", Encode: encode, FormatOptions: map[string]string{}},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "name", Type: sqltypes.Text}}, Cols: []int{0, 1}, Settings: sqlio.DefaultSettings()}
}

// put makes an object below the path.
func (f *fixture) put(name string, data []byte) {
	f.t.Helper()
	_, err := f.client.Client.PutObject(f.t.Context(), "bucket", "in/here/"+name, bytes.NewReader(data), int64(len(data)),
		minio.PutObjectOptions{DisableContentSha256: len(data) == 0}) // a signed stream of nothing has no length
	must(f.t, err)
}

// lines are the lines of all objects that are not hidden.
func (f *fixture) lines() []string {
	f.t.Helper()
	var out []string
	for o := range f.client.Client.ListObjects(f.t.Context(), "bucket", minio.ListObjectsOptions{Recursive: true}) {
		must(f.t, o.Err)
		if filesink.IsHidden(o.Key) {
			continue
		}
		body, _, _, err := f.client.GetObject(f.t.Context(), "bucket", o.Key, minio.GetObjectOptions{})
		must(f.t, err)
		b, err := io.ReadAll(body)
		must(f.t, err)
		out = append(out, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	return out
}

func row(id int64, name string) string { return fmt.Sprintf(`{"id":%d,"name":%q}`, id, name) }

func TestSinkContract(t *testing.T) {
	f := start(t)
	conntest.Sink(t, conntest.SinkCase{Sink: Sink{}, Spec: f.sink("JSON"), ExactlyOnce: true, Row: row,
		Visible: func(*testing.T) []string { return f.lines() }})
	for u := range f.client.ListIncompleteUploads(t.Context(), "bucket", "", true) {
		if u.Err == nil {
			t.Errorf("an upload is left: %s", u.Key)
		}
	}
}

// TestDeathAtEachRequest: whichever request is the last one that the server answers, each row is there once in the end.
func TestDeathAtEachRequest(t *testing.T) {
	for n := int64(1); n <= 20; n++ {
		f := start(t)
		s := f.sink("JSON", "partition_by", "name")
		attempt := func() error {
			w, err := Sink{}.Open(t.Context(), s)
			if err != nil {
				return err
			}
			defer func() {
				if !f.dead.Load() {
					_ = w.Close()
				}
			}()
			at, _, err := w.Committed(t.Context())
			for epoch := at + 1; epoch <= 3 && err == nil; epoch++ {
				if err = w.Write(t.Context(), epoch, conntest.SinkRows(int64(10*epoch), int64(10*epoch+1))); err == nil {
					err = w.Commit(t.Context(), epoch)
				}
			}
			return err
		}
		f.die.Store(n)
		err := attempt()
		f.dead.Store(false)
		f.die.Store(0)
		if err != nil {
			must(t, attempt())
		}
		got := f.lines()
		slices.Sort(got)
		var want []string
		for _, id := range []int64{10, 11, 20, 21, 30, 31} {
			want = append(want, row(id, fmt.Sprintf("row %c", 'a'+id%26)))
		}
		if !slices.Equal(got, want) {
			t.Errorf("dead from request %d on: %q", n, got)
		}
		if err == nil {
			return // all requests have had their turn
		}
	}
}

// TestLargeFile: a file of several parts.
func TestLargeFile(t *testing.T) {
	f := start(t)
	w, err := Sink{}.Open(t.Context(), f.sink("JSON"))
	must(t, err)
	defer w.Close()
	ids := make([]int64, 100_000)
	for i := range ids {
		ids[i] = int64(i)
	}
	for range 7 {
		must(t, w.Write(t.Context(), 1, conntest.SinkRows(ids...)))
	}
	must(t, w.Commit(t.Context(), 1))
	if n := len(f.lines()); n != 700_000 {
		t.Errorf("the object has %d lines", n)
	}
}

func text(encode string, from, to int) []byte {
	var b bytes.Buffer
	if encode == "CSV" {
		b.WriteString("name,id\n")
	}
	for i := from; i < to; i++ {
		if encode == "CSV" {
			fmt.Fprintf(&b, "\"name\n%d\",%d\n", i, i)
		} else {
			fmt.Fprintf(&b, `{"id":%d,"name":"n%d"}`+"\n", i, i)
		}
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")) // the last line of an object needs no end
}

func zipped(t *testing.T, how string, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if how == "zst" {
		z, err := zstd.NewWriter(&b)
		must(t, err)
		w = z
	}
	_, err := w.Write(data)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}

func TestSourceContract(t *testing.T) {
	for _, encode := range []string{"JSON", "CSV"} {
		t.Run(encode, func(t *testing.T) {
			f := start(t)
			f.put("a.txt", text(encode, 0, 6000))
			f.put("sub/b.txt.gz", zipped(t, "gz", text(encode, 6000, 11_000)))
			f.put("c.txt.zst", zipped(t, "zst", text(encode, 11_000, 16_000)))
			f.put("empty.txt", nil)
			f.put(".hidden.txt", text(encode, 0, 9))
			f.put("other.log", []byte("garbage"))
			f.put("bad.txt", []byte(map[string]string{"JSON": "{\"id\": oops}\n", "CSV": "name,id\nx,oops\n"}[encode]))
			conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: f.source(encode, "match_pattern", "*.txt*"), Rows: 16_000, Errors: 1, Idle: 50 * time.Millisecond})
		})
	}
}

func TestParquetContract(t *testing.T) {
	f := start(t)
	w, err := Sink{}.Open(t.Context(), f.sink("PARQUET"))
	must(t, err)
	ids := make([]int64, 5000)
	for i := range ids {
		ids[i] = int64(i)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		must(t, w.Write(t.Context(), epoch, conntest.SinkRows(ids...)))
		must(t, w.Commit(t.Context(), epoch))
	}
	must(t, w.Close())
	f.put("half.parquet", []byte("PAR1 and no more to come"))
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: f.source("PARQUET"), Rows: 10_000, Errors: 1, Idle: 50 * time.Millisecond})
}

// TestReadOnce: new objects are found, and one that was read to its end is not asked for again, also by the next reader.
func TestReadOnce(t *testing.T) {
	f := start(t)
	f.put("one.json.gz", zipped(t, "gz", text("JSON", 0, 10)))
	spec := f.source("JSON")
	splits := func(want ...string) {
		t.Helper()
		if got, err := (Source{}).Splits(t.Context(), spec); err != nil || !slices.Equal(got, want) {
			t.Errorf("Splits = %q, %v, want %q", got, err, want)
		}
	}
	splits("one.json.gz")
	r, err := Source{}.Open(t.Context(), spec, []connector.SplitOffset{{Split: "one.json.gz"}})
	must(t, err)
	b, err := r.Next(t.Context())
	must(t, err)
	if b.Chunk.Len() != 10 || !b.Resting {
		t.Errorf("got %d rows, resting %v", b.Chunk.Len(), b.Resting)
	}
	must(t, r.Close())
	f.put("two.json", text("JSON", 10, 20))
	splits("one.json.gz", "two.json")
	r, err = Source{}.Open(t.Context(), spec, []connector.SplitOffset{b.Offsets[0], {Split: "two.json", Offset: connector.FromStart}})
	must(t, err)
	defer r.Close()
	b, err = r.Next(t.Context())
	must(t, err)
	if b.Chunk.Len() != 10 || b.Offsets[0].Split != "two.json" {
		t.Errorf("got %d rows of %s", b.Chunk.Len(), b.Offsets[0].Split)
	}
	before := f.gets.Load()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Next(ctx); err == nil {
		t.Error("there is more")
	}
	if n := f.gets.Load() - before; n != 0 {
		t.Errorf("%d requests about objects that were read", n)
	}
}

// TestDamaged: an object that does not decompress is put aside behind what could be read of it.
func TestDamaged(t *testing.T) {
	f := start(t)
	z := zipped(t, "gz", text("JSON", 0, 100_000))
	f.put("cut.json.gz", z[:len(z)/2])
	r, err := Source{}.Open(t.Context(), f.source("JSON"), []connector.SplitOffset{{Split: "cut.json.gz"}})
	must(t, err)
	defer r.Close()
	rows := 0
	for {
		b, err := r.Next(t.Context())
		must(t, err)
		if b.Chunk != nil {
			rows += b.Chunk.Len()
		}
		if len(b.Errors) > 0 {
			if sqlerr.CodeOf(b.Errors[0].Err) != sqlerr.DataCorrupted || rows < 1000 {
				t.Errorf("after %d rows: %v", rows, b.Errors[0].Err)
			}
			return
		}
	}
}

func TestMistakes(t *testing.T) {
	f := start(t)
	for what, c := range map[string]struct {
		options    []string
		code       sqlerr.Code
		text, hint string
	}{
		"bucket":   {[]string{"s3.bucket_name", "none"}, sqlerr.UndefinedObject, `bucket "none" does not exist`, "Create it"},
		"endpoint": {[]string{"s3.endpoint_url", "http://127.0.0.1:1"}, sqlerr.ConnectionFailure, "127.0.0.1:1", ""},
		"address":  {[]string{"s3.endpoint_url", "ftp://x"}, sqlerr.InvalidParameterValue, "s3.endpoint_url", ""},
		"secret":   {[]string{"s3.credentials.secret", ""}, sqlerr.InvalidParameterValue, "belong together", ""},
		"option":   {[]string{"s3.bucket_nam", "x"}, sqlerr.InvalidParameterValue, "s3.bucket_nam", "s3.bucket_name"},
		"column":   {[]string{"partition_by", "nosuch"}, sqlerr.InvalidParameterValue, `"nosuch"`, ""},
		"upsert":   {[]string{"type", "upsert"}, sqlerr.InvalidParameterValue, "primary key", ""},
	} {
		t.Run(what, func(t *testing.T) {
			spec := f.sink("JSON", c.options...)
			spec.Connector.Format = ""
			err := Sink{}.Validate(t.Context(), spec)
			e := sqlerr.From(err)
			if err == nil || e.Code != c.code || !strings.Contains(e.Message, c.text) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("Validate: %v, hint %q", err, e.Hint)
			}
		})
	}
}
