package mysql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/conntest"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/dbtest"
)

var shared struct {
	sync.Once
	s   *dbtest.Server
	err error
}

// server is the MariaDB that most tests share; each has its own database.
func server(t testing.TB) *dbtest.Server {
	t.Helper()
	shared.Do(func() {
		shared.s, shared.err = dbtest.NewMariaDB("--plugin-load-add=auth_ed25519", "--plugin-maturity=unknown")
	})
	if errors.Is(shared.err, dbtest.ErrMissing) {
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.s
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.s != nil {
		if err := shared.s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// database makes an empty database named after the test.
func database(t testing.TB, s *dbtest.Server) string {
	t.Helper()
	name := strings.ToLower(strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' || r == '#' {
			return '_'
		}
		return r
	}, t.Name()))
	name = name[:min(len(name), 40)]
	s.Exec(t, "DROP DATABASE IF EXISTS "+name, "CREATE DATABASE "+name)
	return name
}

// specFor is the spec of a source of a database; options come in pairs.
func specFor(s *dbtest.Server, db string, options ...string) *connector.SourceSpec {
	o := map[string]string{"hostname": "127.0.0.1", "port": strconv.Itoa(s.Port), "username": "root", "database.name": db}
	for i := 0; i < len(options); i += 2 {
		o[options[i]] = options[i+1]
	}
	return &connector.SourceSpec{Name: "s", Instance: "test/" + db, Connector: catalog.Connector{Name: "mysql-cdc", Options: o}}
}

// mirror is what the tables of a source have become, as the engine would keep them.
type mirror struct {
	t       testing.TB
	spec    *connector.SourceSpec
	rows    map[catalog.ID]map[string]string // by the text of the key
	bags    map[catalog.ID]map[string]int
	offsets map[string][]byte
	reader  connector.Reader
	changes []*connector.SchemaChange
	batches int
}

// newMirror captures tables of a database, with the columns that they have.
func newMirror(t testing.TB, spec *connector.SourceSpec, tables ...string) *mirror {
	t.Helper()
	m := &mirror{t: t, spec: spec, rows: map[catalog.ID]map[string]string{}, bags: map[catalog.ID]map[string]int{}, offsets: map[string][]byte{}}
	for _, name := range tables {
		m.add(name)
	}
	t.Cleanup(m.close)
	return m
}

func (m *mirror) add(name string) {
	m.t.Helper()
	f, err := Source{}.DescribeTable(m.t.Context(), m.spec, name, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	id := catalog.ID(len(m.spec.Tables) + 1)
	m.spec.Tables = append(m.spec.Tables, connector.Table{ID: id, Upstream: name, Columns: f.Columns, Key: f.Key})
	m.rows[id], m.bags[id] = map[string]string{}, map[string]int{}
}

func (m *mirror) open() {
	m.t.Helper()
	if err := m.tryOpen(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mirror) tryOpen() error {
	splits := []connector.SplitOffset{{Split: connector.LogSplit, Offset: m.offsets[connector.LogSplit]}}
	for _, t := range m.spec.Tables {
		name := connector.TableSplit(t.ID)
		splits = append(splits, connector.SplitOffset{Split: name, Offset: m.offsets[name]})
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := Source{}.Open(ctx, m.spec, splits)
	m.reader = r
	return err
}

func (m *mirror) close() {
	if m.reader != nil {
		m.reader.Close()
		m.reader = nil
	}
}

// step takes one batch; false: nothing came for a while.
func (m *mirror) step(idle time.Duration) (bool, error) {
	if m.reader == nil {
		if err := m.tryOpen(); err != nil {
			return false, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), idle)
	defer cancel()
	b, err := m.reader.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	m.batches++
	m.apply(b)
	return true, nil
}

func (m *mirror) apply(b *connector.Batch) {
	if b.Change != nil {
		m.follow(b.Change)
		return
	}
	for _, c := range b.Tables {
		m.chunk(c)
	}
	for _, o := range b.Offsets {
		m.offsets[o.Split] = o.Offset
	}
}

func (m *mirror) table(id catalog.ID) *connector.Table { return &m.spec.Tables[id-1] }

func (m *mirror) chunk(c connector.TableChunk) {
	t := m.table(c.Table)
	if len(c.Chunk.Cols) != len(t.Columns)+1 {
		m.t.Fatalf("%d columns for a table of %d", len(c.Chunk.Cols), len(t.Columns))
	}
	texts := conntest.Rows(c.Chunk)
	control := c.Chunk.Cols[len(t.Columns)]
	for k, text := range texts {
		i := c.Chunk.Row(k)
		text = strings.TrimPrefix(text[:strings.LastIndexByte(text, '|')], "-")
		gone := c.Chunk.Weight(i) < 0
		if !control.IsNull(i) {
			if control.Bytes(i)[0] != connector.ControlTruncate {
				m.t.Fatalf("control %q", control.Bytes(i))
			}
			clear(m.rows[c.Table])
			clear(m.bags[c.Table])
			continue
		}
		if len(t.Key) == 0 {
			m.bags[c.Table][text] += int(c.Chunk.Weight(i))
			if m.bags[c.Table][text] == 0 {
				delete(m.bags[c.Table], text)
			}
			continue
		}
		parts := strings.Split(text, "|")
		var key []string
		for _, col := range t.Key {
			key = append(key, parts[col])
		}
		if gone {
			delete(m.rows[c.Table], strings.Join(key, "|"))
		} else {
			m.rows[c.Table][strings.Join(key, "|")] = text
		}
	}
}

// follow changes a table as the engine would, and opens the source again.
func (m *mirror) follow(ch *connector.SchemaChange) {
	m.t.Helper()
	m.changes = append(m.changes, ch)
	m.close()
	t := m.table(ch.Table)
	columns := slices.Clone(t.Columns)
	edit := func(f func(parts []string) []string) {
		for k, text := range m.rows[ch.Table] {
			m.rows[ch.Table][k] = strings.Join(f(strings.Split(text, "|")), "|")
		}
		bag := map[string]int{}
		for text, n := range m.bags[ch.Table] {
			bag[strings.Join(f(strings.Split(text, "|")), "|")] += n
		}
		m.bags[ch.Table] = bag
	}
	for i := range columns {
		if to, ok := ch.Rename[columns[i].Name]; ok {
			columns[i].Name = to
		}
		for _, r := range ch.Retype {
			if r.Name == columns[i].Name {
				columns[i].Type = r.Type
			}
		}
	}
	for _, name := range ch.Drop {
		i := slices.IndexFunc(columns, func(c catalog.Column) bool { return c.Name == name })
		columns = slices.Delete(columns, i, i+1)
		for k := range t.Key {
			if t.Key[k] > i {
				t.Key[k]--
			}
		}
		edit(func(p []string) []string { return slices.Delete(p, i, i+1) })
	}
	for _, c := range ch.Add {
		if slices.ContainsFunc(columns, func(x catalog.Column) bool { return x.Name == c.Name }) {
			continue
		}
		columns = append(columns, c)
		edit(func(p []string) []string { return append(p, "NULL") })
	}
	t.Columns = columns
	for _, o := range ch.Then {
		m.offsets[o.Split] = o.Offset
	}
}

// until reads until a condition holds.
func (m *mirror) until(what string, holds func() bool) {
	m.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(end) {
			m.t.Fatalf("waited in vain for %s; there is %v %v", what, m.rows, m.bags)
		}
		if _, err := m.step(time.Second); err != nil {
			m.t.Fatal(err)
		}
	}
}

// wait reads until as many rows are there, in the n-th table.
func (m *mirror) wait(n, rows int) {
	m.t.Helper()
	m.until(fmt.Sprintf("%d rows", rows), func() bool { return len(m.list(n)) == rows })
}

// list are the rows of the n-th table, in order.
func (m *mirror) list(n int) []string {
	id := m.spec.Tables[n].ID
	var out []string
	for _, text := range m.rows[id] {
		out = append(out, text)
	}
	for text, k := range m.bags[id] {
		for range k {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

func (m *mirror) is(n int, want ...string) {
	m.t.Helper()
	slices.Sort(want)
	m.until(fmt.Sprintf("%q in table %d", want, n), func() bool { return slices.Equal(m.list(n), want) })
}

// stops reads until the n-th table has stopped, and says why.
func (m *mirror) stops(n int, why string) {
	m.t.Helper()
	var o cdc.TableOffset
	m.until("a table to stop", func() bool {
		o, _ = cdc.ParseTableOffset(m.offsets[connector.TableSplit(m.spec.Tables[n].ID)])
		return o.Phase == cdc.Stopped
	})
	if !strings.Contains(o.Error, why) {
		m.t.Errorf("the table has stopped because %q, and it should be %q", o.Error, why)
	}
}

// live reads until the snapshots of all tables are there.
func (m *mirror) live() {
	m.t.Helper()
	m.until("the snapshots", func() bool {
		return !slices.ContainsFunc(m.spec.Tables, func(t connector.Table) bool {
			return !strings.Contains(string(m.offsets[connector.TableSplit(t.ID)]), `"live"`)
		})
	})
}
