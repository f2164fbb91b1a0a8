package mysql

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/connector/mysql/binlog"
	"github.com/millrace/millrace/internal/catalog"
)

// shape is what an upstream table looks like at a point in the log. It is kept as cdc.Table.Known, as JSON (docs/format/state.md). A shape is
// immutable once it was published.
type shape struct {
	// Since is the point: what the log says of the table up to there is past.
	Since   *point     `json:"since"`
	Columns []column   `json:"columns"`
	Key     *uniqueKey `json:"key,omitempty"`
	// Gone: there is no such table.
	Gone bool `json:"gone,omitempty"`
}

func parseShape(b []byte) (*shape, error) {
	s := &shape{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read the columns of a captured table: %w", err)
	}
	if s.Since == nil {
		return nil, fmt.Errorf("read the columns of a captured table: no position")
	}
	for i := range s.Columns {
		s.Columns[i].parse()
	}
	return s, s.Since.parse()
}

func (s *shape) bytes() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return b
}

// find returns the index of the upstream column that feeds a column here; −1: none.
func (s *shape) find(col catalog.Column) int {
	if col.Include != "" {
		return -1
	}
	if i := slices.IndexFunc(s.Columns, func(c column) bool { return c.Name == col.Name }); i >= 0 {
		return i
	}
	return indexOf(s.Columns, col.Name)
}

// fits reports whether rows that a table map describes have this shape.
func (s *shape) fits(m *binlog.TableMap) bool { return columnsFit(s.Columns, m) }

func columnsFit(columns []column, m *binlog.TableMap) bool {
	if len(columns) != len(m.Columns) {
		return false
	}
	for i := range columns {
		c, b := &columns[i], &m.Columns[i]
		if c.Decl == "" { // one that a later statement drops or renames again: it is passed over
			continue
		}
		if !c.fits(b, m.Named, m.Signed) {
			return false
		}
	}
	return true
}

func sameColumns(a, b []column) bool {
	return slices.EqualFunc(a, b, func(x, y column) bool {
		return x.Name == y.Name && x.Decl == y.Decl && x.Charset == y.Charset && x.NotNull == y.NotNull && x.JSON == y.JSON
	})
}

// nextColumn is a column of the next shape, and what it was called before; from "": it is new.
type nextColumn struct {
	column
	from string
	// filled: it is new, and old rows have a value in it.
	filled bool
}

// move is how a shape becomes another.
type move struct {
	next []nextColumn
	// recopy: the log does not say what is in the columns now. clear: nor which rows there are.
	recopy, clear bool
}

// sameNamed is the move to columns that keep their names.
func (s *shape) sameNamed(info *tableInfo) *move {
	m := &move{}
	for _, c := range info.columns {
		n := nextColumn{column: c}
		if i := indexOf(s.Columns, c.Name); i >= 0 {
			n.from = s.Columns[i].Name
		} else {
			n.filled = info.filled[strings.ToLower(c.Name)]
		}
		m.next = append(m.next, n)
	}
	return m
}

// change says what a move means for the table here; nil: nothing. The second result tells whether it has to be read anew.
func (s *shape) change(t *cdc.Table, m *move) (*connector.SchemaChange, bool) {
	ch := &connector.SchemaChange{Table: t.ID, Rename: map[string]string{}}
	recopy := m.recopy
	here := func(name string) int {
		for i, col := range t.Columns {
			if k := s.find(col); k >= 0 && s.Columns[k].Name == name {
				return i
			}
		}
		return -1
	}
	taken := map[string]bool{}
	for _, n := range m.next {
		if n.from == "" {
			if n.Decl == "" || slices.ContainsFunc(t.Columns, func(c catalog.Column) bool { return c.Name == n.Name }) {
				recopy = recopy || n.Decl != "" // it was there under the same name, and is another now
				continue
			}
			if typ, ok := n.typ(); ok {
				ch.Add = append(ch.Add, catalog.Column{Name: n.Name, Type: typ})
				recopy = recopy || n.filled
			}
			continue
		}
		taken[n.from] = true
		i, k := here(n.from), indexOf(s.Columns, n.from)
		if i < 0 || k < 0 {
			continue
		}
		col := t.Columns[i]
		if n.Name != n.from {
			ch.Rename[col.Name] = n.Name
			col.Name = n.Name
		}
		old := &s.Columns[k]
		before, _ := old.typ()
		after, ok := n.typ()
		if ok && before != after && (col.Type == before || !accepts(&n.column, col.Type)) {
			ch.Retype = append(ch.Retype, catalog.Column{Name: col.Name, Type: after})
		}
		recopy = recopy || !keepsValues(old, &n.column)
	}
	for k := range s.Columns {
		if name := s.Columns[k].Name; !taken[name] {
			if i := here(name); i >= 0 {
				ch.Drop = append(ch.Drop, t.Columns[i].Name)
			}
		}
	}
	// A column that has gone and come under the same name stays, with other values.
	ch.Drop = slices.DeleteFunc(ch.Drop, func(name string) bool {
		return slices.ContainsFunc(m.next, func(n nextColumn) bool { return n.Name == name && n.Decl != "" })
	})
	if len(ch.Add)+len(ch.Drop)+len(ch.Rename)+len(ch.Retype) == 0 {
		return nil, recopy
	}
	return ch, recopy
}

// keepsValues reports whether a change of a column's type leaves all values in it as they were, as they are seen here.
func keepsValues(a, b *column) bool {
	if a.Decl == b.Decl {
		return a.NotNull == b.NotNull || !b.NotNull
	}
	if b.Decl == "" || a.family() != b.family() || !a.NotNull && b.NotNull || a.compressed != b.compressed && a.base != b.base {
		return false
	}
	switch a.family() {
	case famInt:
		return a.unsigned == b.unsigned && intBytes[b.base] >= intBytes[a.base] && a.base != "year" && b.base != "year"
	case famText, famBytes:
		grows := func(c *column) int {
			if n := blobSizes[c.base]; n > 0 {
				return n << 24
			}
			return c.arg(0, 1)
		}
		sameKind := a.base == b.base || blobSizes[a.base] > 0 && blobSizes[b.base] > 0 || a.base == "varchar" && b.family() == famText && blobSizes[b.base] > 0
		return sameKind && grows(b) >= grows(a) && a.base != "binary" && (a.Charset == b.Charset || isUTF8(b.Charset))
	case famEnum, famSet:
		return len(b.labels) >= len(a.labels) && slices.Equal(a.labels, b.labels[:len(a.labels)])
	}
	return false
}

var intBytes = map[string]int{"tinyint": 1, "smallint": 2, "mediumint": 3, "int": 4, "bigint": 8}

// after is the shape that a move leads to.
func (s *shape) after(m *move, since *point) *shape {
	next := &shape{Since: since, Key: s.Key}
	for _, n := range m.next {
		next.Columns = append(next.Columns, n.column)
	}
	if s.Key != nil {
		key := &uniqueKey{Index: s.Key.Index}
		for _, name := range s.Key.Columns {
			for _, n := range m.next {
				if n.from == name {
					name = n.Name
					break
				}
			}
			key.Columns = append(key.Columns, name)
		}
		next.Key = key
	}
	return next
}
