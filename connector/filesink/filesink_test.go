package filesink_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/connector/filesink"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/posixfs"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

func spec(dir, encode string, options ...string) *connector.SinkSpec {
	o := map[string]string{"fs.path": dir}
	for i := 0; i+1 < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SinkSpec{Name: "out", ID: 3, Instance: "c-3", Connector: catalog.Connector{Name: "posix_fs", Options: o, Format: "PLAIN", Encode: encode},
		Columns: conntest.SinkColumns(), AppendOnly: true, Settings: sqlio.DefaultSettings()}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, s *connector.SinkSpec) connector.Writer {
	t.Helper()
	must(t, posixfs.Sink{}.Validate(t.Context(), s))
	w, err := posixfs.Sink{}.Open(t.Context(), s)
	must(t, err)
	t.Cleanup(func() { _ = w.Close() })
	return w
}

// tree lists the files that are to be seen, with their contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, p)
		if err != nil || d.IsDir() || filesink.IsHidden(rel) {
			return err
		}
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		defer f.Close()
		var r io.Reader = f
		switch filepath.Ext(p) {
		case ".gz":
			if r, err = gzip.NewReader(f); err != nil {
				return err
			}
		case ".zst":
			z, err := zstd.NewReader(f)
			if err != nil {
				return err
			}
			defer z.Close()
			r = z
		}
		b, err := io.ReadAll(r)
		out[rel] = string(b)
		return err
	}))
	return out
}

func TestPartitions(t *testing.T) {
	dir := t.TempDir()
	s := spec(dir, "JSON", "partition_by", "day, place", "path_partition_prefix", "month")
	s.Columns = []catalog.Column{{Name: "id", Type: sqltypes.Int8}, {Name: "day", Type: sqltypes.Date}, {Name: "place", Type: sqltypes.Text}}
	w := open(t, s)
	b := delta.NewBuilder([]sqltypes.Type{sqltypes.Int8, sqltypes.Date, sqltypes.Text})
	for i, place := range []any{"Oslo", "a/b", nil, "Oslo", "", "..", "%ü"} {
		b.AppendDatums([]sqltypes.Datum{int64(i), int64(i / 4), place}, 1)
	}
	must(t, w.Write(t.Context(), 7, b.Take()))
	must(t, w.Commit(t.Context(), 7))
	got := tree(t, dir)
	month := time.Now().UTC().Format("2006-01")
	for folder, ids := range map[string][]int{"day=2000-01-01/place=Oslo": {0, 3}, "day=2000-01-01/place=a%2Fb": {1}, "day=2000-01-01/place=__HIVE_DEFAULT_PARTITION__": {2},
		"day=2000-01-02/place=%00": {4}, "day=2000-01-02/place=%2E.": {5}, "day=2000-01-02/place=%25%C3%BC": {6}} {
		n := 0
		for name, text := range got {
			if !strings.HasPrefix(name, filepath.Join(month, folder)+"/c-3-00000000000000000007-") {
				continue
			}
			n++
			for _, id := range ids {
				if !strings.Contains(text, fmt.Sprintf(`{"id":%d,`, id)) || strings.Count(text, "\n") != len(ids) {
					t.Errorf("%s: %q", name, text)
				}
			}
		}
		if n != 1 {
			t.Errorf("folder %s has %d files; there are %v", folder, n, got)
		}
	}
}

func TestCompression(t *testing.T) {
	for _, z := range []string{"gzip", "zstd"} {
		dir := t.TempDir()
		w := open(t, spec(dir, "CSV", "compression", z))
		must(t, w.Write(t.Context(), 1, conntest.SinkRows(1, 2)))
		must(t, w.Commit(t.Context(), 1))
		for name, text := range tree(t, dir) {
			if text != "id,name\n1,row b\n2,row c\n" || !strings.Contains(name, ".csv.") {
				t.Errorf("%s: %q", name, text)
			}
		}
	}
}

// TestRoll: a file ends when it is large enough, and several epochs are gathered until it is time.
func TestRoll(t *testing.T) {
	dir := t.TempDir()
	w := open(t, spec(dir, "JSON", "rollover_bytes", "2000", "rollover_seconds", "3600"))
	g := w.(connector.Gatherer)
	must(t, w.Write(t.Context(), 1, conntest.SinkRows(1)))
	if at := time.Until(g.Due()); at < 3500*time.Second {
		t.Errorf("one row is due in %v", at)
	}
	ids := make([]int64, 100)
	must(t, w.Write(t.Context(), 2, conntest.SinkRows(ids...)))
	if !g.Due().IsZero() {
		t.Error("enough rows are not due")
	}
	must(t, w.Write(t.Context(), 3, conntest.SinkRows(ids...)))
	if n := len(tree(t, dir)); n != 0 {
		t.Errorf("%d files can be seen before the commit", n)
	}
	must(t, w.Commit(t.Context(), 3))
	if n := len(tree(t, dir)); n != 2 {
		t.Errorf("%d files of about 2,500 bytes, want 2", n)
	}
	if at, ok, _ := w.Committed(t.Context()); at != 3 || !ok {
		t.Errorf("Committed = %d, %v", at, ok)
	}
}

// faulty ends a writer's life at the n-th operation that changes something.
type faulty struct {
	filesink.Target
	left  int
	after bool // the operation has happened
}

var errDead = errors.New("the process is dead")

func (f *faulty) step(do func() error) error {
	if f.left--; f.left == 0 {
		if f.after {
			_ = do()
		}
		return errDead
	}
	if f.left < 0 {
		return errDead
	}
	return do()
}

func (f *faulty) Publish(ctx context.Context, p filesink.Pending) error {
	return f.step(func() error { return f.Target.Publish(ctx, p) })
}

func (f *faulty) Swap(ctx context.Context, name string, data []byte, version string) (v string, err error) {
	err = f.step(func() (err error) { v, err = f.Target.Swap(ctx, name, data, version); return err })
	return v, err
}

// TestDeathAtEachStep: whatever the step at which a writer dies, and whoever takes published files away meanwhile, each row
// is delivered once.
func TestDeathAtEachStep(t *testing.T) {
	for _, taken := range []bool{false, true} {
		for n := 1; n <= 15; n++ {
			for _, after := range []bool{false, true} {
				deathAt(t, n, after, taken)
			}
		}
	}
}

func deathAt(t *testing.T, n int, after, taken bool) {
	dir, away := t.TempDir(), t.TempDir()
	s := spec(dir, "JSON", "partition_by", "name")
	o := option.New("test", map[string]string{"partition_by": "name"})
	options := filesink.Parse(o, s)
	f := &faulty{Target: posixfs.Folder(dir), left: n, after: after}
	attempt := func(target filesink.Target) error {
		w, err := filesink.Open(t.Context(), s, options, target)
		if err != nil {
			return err
		}
		defer func() {
			if target == filesink.Target(f) {
				return // killed: nobody cleans up
			}
			_ = w.Close()
		}()
		at, _, err := w.Committed(t.Context())
		for epoch := uint64(1); epoch <= 3 && err == nil; epoch++ {
			if epoch <= at {
				continue
			}
			if err = w.Write(t.Context(), epoch, conntest.SinkRows(int64(10*epoch), int64(10*epoch+1))); err == nil {
				err = w.Commit(t.Context(), epoch)
			}
		}
		return err
	}
	err := attempt(f)
	if taken {
		for name := range tree(t, dir) {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(away, name)), 0o777))
			must(t, os.Rename(filepath.Join(dir, name), filepath.Join(away, name)))
		}
	}
	if err != nil {
		must(t, attempt(posixfs.Folder(dir)))
	}
	var got []string
	for _, where := range []string{dir, away} {
		for _, text := range tree(t, where) {
			got = append(got, strings.Fields(strings.ReplaceAll(text, " ", ""))...)
		}
	}
	slices.Sort(got)
	var want []string
	for _, id := range []int64{10, 11, 20, 21, 30, 31} {
		want = append(want, fmt.Sprintf(`{"id":%d,"name":"row%c"}`, id, 'a'+id%26))
	}
	if !slices.Equal(got, want) {
		t.Errorf("death at step %d (after it: %v, files taken: %v): %q", n, after, taken, got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp")); len(left) > 0 {
		t.Errorf("death at step %d leaves %q", n, left)
	}
}
