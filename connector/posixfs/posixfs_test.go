package posixfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/offset"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	p := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return p
}

func sourceSpec(dir, encode string, options ...string) *connector.SourceSpec {
	o := map[string]string{"posix_fs.root": dir, "posix_fs.poll.interval": "5ms"}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{
		Name: "s", Connector: catalog.Connector{Name: "posix_fs", Options: o, Format: "PLAIN", Encode: encode, FormatOptions: map[string]string{}},
		Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "name", Type: sqltypes.Text}}, Cols: []int{0, 1},
		Settings: sqlio.DefaultSettings(),
	}
}

func lines(encode string, from, to int) string {
	var sb strings.Builder
	if encode == "CSV" {
		sb.WriteString("name,id\r\n")
	}
	for i := from; i < to; i++ {
		if encode == "CSV" {
			fmt.Fprintf(&sb, "\"name\n%d\",%d\r\n", i, i)
		} else {
			fmt.Fprintf(&sb, `{"id":%d,"name":"n%d"}`+"\n", i, i)
		}
	}
	return sb.String()
}

func TestSourceContract(t *testing.T) {
	for _, encode := range []string{"JSON", "CSV"} {
		t.Run(encode, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "a.txt", lines(encode, 0, 6000))
			write(t, dir, "sub/b.txt", lines(encode, 6000, 6010))
			write(t, dir, "empty.txt", "")
			write(t, dir, ".hidden.txt", lines(encode, 0, 9))
			write(t, dir, "other.log", "garbage")
			bad := map[string]string{"JSON": "{\"id\": oops}\n", "CSV": "name,id\nx,oops\n"}[encode]
			write(t, dir, "bad.txt", bad)
			conntest.Source(t, conntest.SourceCase{
				Source: Source{}, Spec: sourceSpec(dir, encode, "match_pattern", "*.txt"), Rows: 6010, Errors: 1, Idle: 100 * time.Millisecond,
			})
		})
	}
}

func TestParquetContract(t *testing.T) {
	dir := t.TempDir()
	spec := sinkSpec(dir, "PARQUET")
	w, err := Sink{}.Open(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int64, 5000)
	for i := range ids {
		ids[i] = int64(i)
	}
	for epoch := uint64(1); epoch <= 2; epoch++ {
		if err := w.Write(context.Background(), epoch, conntest.SinkRows(ids...)); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(context.Background(), epoch); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	write(t, dir, "half.parquet", "PAR1 and more to come")
	write(t, dir, "damaged.parquet", "PAR1 nothing that makes sense, but with the right ends \x10\x00\x00\x00PAR1")
	conntest.Source(t, conntest.SourceCase{Source: Source{}, Spec: sourceSpec(dir, "PARQUET"), Rows: 10_000, Errors: 1, Idle: 100 * time.Millisecond})
}

func next(t *testing.T, r connector.Reader, n int) (rows []string, last []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for len(rows) < n {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next after %d of %d rows: %v", len(rows), n, err)
		}
		if b.Chunk != nil {
			rows = append(rows, conntest.Rows(b.Chunk)...)
		}
		last = b.Offsets[0].Offset
	}
	return rows, last
}

func open(t *testing.T, spec *connector.SourceSpec, splits ...connector.SplitOffset) connector.Reader {
	t.Helper()
	r, err := Source{}.Open(context.Background(), spec, splits)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestGrowingFile: a line without its end is left alone until it has one.
func TestGrowingFile(t *testing.T) {
	dir := t.TempDir()
	p := write(t, dir, "f", "{\"id\":1}\n{\"id\":2")
	r := open(t, sourceSpec(dir, "JSON"), connector.SplitOffset{Split: "f"})
	rows, at := next(t, r, 1)
	if rows[0] != "1|NULL" || string(at) != "1/9" {
		t.Errorf("got %q, offset %s", rows, at)
	}
	f, err := os.OpenFile(p, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, "2}\n{\"id\":3}\n")
	f.Close()
	if rows, _ := next(t, r, 2); !slices.Equal(rows, []string{"22|NULL", "3|NULL"}) {
		t.Errorf("after growing: %q", rows)
	}
}

func TestLastLineOfRestingFile(t *testing.T) {
	dir := t.TempDir()
	p := write(t, dir, "f", "{\"id\":1}\n{\"id\":2}")
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(p, old, old); err != nil {
		t.Fatal(err)
	}
	rows, at := next(t, open(t, sourceSpec(dir, "JSON"), connector.SplitOffset{Split: "f"}), 2)
	if rows[1] != "2|NULL" || string(at) != "1/17" {
		t.Errorf("got %q, offset %s", rows, at)
	}
}

func TestShrunkFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "f", "{\"id\":1}\n")
	r := open(t, sourceSpec(dir, "JSON"), connector.SplitOffset{Split: "f", Offset: offset.Encode(100)})
	_, err := r.Next(context.Background())
	if sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState || !strings.Contains(err.Error(), "100 bytes were read, it has 9") {
		t.Errorf("Next: %v", err)
	}
}

func TestLongLine(t *testing.T) {
	dir := t.TempDir()
	long := strings.Repeat("x", 3*(256<<10))
	write(t, dir, "f", fmt.Sprintf("{\"id\":1,\"name\":%q}\n{\"id\":2}\n", long))
	rows, _ := next(t, open(t, sourceSpec(dir, "JSON"), connector.SplitOffset{Split: "f"}), 2)
	if rows[0] != "1|"+long || rows[1] != "2|NULL" {
		t.Errorf("got rows of %d and %d bytes", len(rows[0]), len(rows[1]))
	}
}

func TestNewFilesAndIncludes(t *testing.T) {
	dir := t.TempDir()
	spec := sourceSpec(dir, "JSON", "match_pattern", "in/**/*.json")
	spec.Columns = append(spec.Columns, catalog.Column{Name: "f", Type: sqltypes.Varchar, Include: "file"}, catalog.Column{Name: "o", Type: sqltypes.Int8, Include: "offset"})
	spec.Cols = []int{2, 3, 0}
	write(t, dir, "in/a.json", "{\"id\":1}\n{\"id\":2}\n")
	write(t, dir, "out/a.json", "{\"id\":9}\n")
	check := func(want ...string) {
		t.Helper()
		if got, err := (Source{}).Splits(context.Background(), spec); err != nil || !slices.Equal(got, want) {
			t.Errorf("Splits = %q, %v, want %q", got, err, want)
		}
	}
	check("in/a.json")
	write(t, dir, "in/x/y/b.json", "{\"id\":3}\n")
	check("in/a.json", "in/x/y/b.json")
	rows, _ := next(t, open(t, spec, connector.SplitOffset{Split: "in/a.json"}), 2)
	if !slices.Equal(rows, []string{"in/a.json|0|1", "in/a.json|9|2"}) {
		t.Errorf("got %q", rows)
	}
}

func TestMistakes(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		spec *connector.SourceSpec
		text string
	}{
		"folder":  {sourceSpec(filepath.Join(dir, "none"), "JSON"), "cannot be read"},
		"file":    {sourceSpec(write(t, dir, "f", ""), "JSON"), "not a folder"},
		"pattern": {sourceSpec(dir, "JSON", "match_pattern", "["), "not a pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Source{}.Validate(context.Background(), c.spec)
			if sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Validate: %v", err)
			}
		})
	}
}

func sinkSpec(dir, encode string) *connector.SinkSpec {
	return &connector.SinkSpec{
		Name: "out", ID: 3, Connector: catalog.Connector{Name: "posix_fs", Options: map[string]string{"fs.path": dir}, Format: "PLAIN", Encode: encode},
		Columns: conntest.SinkColumns(), AppendOnly: true, Settings: sqlio.DefaultSettings(),
	}
}

func TestSinkContract(t *testing.T) {
	for _, encode := range []string{"JSON", "CSV"} {
		t.Run(encode, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "made", "by the sink")
			conntest.Sink(t, conntest.SinkCase{
				Sink: Sink{}, Spec: sinkSpec(dir, encode), ExactlyOnce: true,
				Visible: func(t *testing.T) []string { return contents(t, dir, encode) },
				Row: func(id int64, name string) string {
					if encode == "CSV" {
						return fmt.Sprintf("%d,%s", id, name)
					}
					return fmt.Sprintf(`{"id":%d,"name":%q}`, id, name)
				},
			})
			if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp")); left != nil {
				t.Errorf("unfinished files are left: %q", left)
			}
		})
	}
}

// contents reads all lines of the visible files, CSV headers aside.
func contents(t *testing.T, dir, encode string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		rows := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		if encode == "CSV" {
			if rows[0] != "id,name" {
				t.Errorf("header %q", rows[0])
			}
			rows = rows[1:]
		}
		out = append(out, rows...)
	}
	return out
}

// TestPredecessor: a sink created anew does not take the files of another one for its own.
func TestPredecessor(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	for _, instance := range []string{"one", "two"} {
		spec := sinkSpec(dir, "JSON")
		spec.Instance = instance
		w, err := Sink{}.Open(ctx, spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok, err := w.Committed(ctx); ok || err != nil {
			t.Errorf("instance %s finds an epoch before its first: %v", instance, err)
		}
		if err := w.Write(ctx, 7, conntest.SinkRows(1)); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(ctx, 7); err != nil {
			t.Fatal(err)
		}
	}
	if got := contents(t, dir, "JSON"); len(got) != 2 {
		t.Errorf("folder holds %q", got)
	}
}
