package postgres

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
)

// texts is how values of the log and of snapshots are to be read: the sessions print in UTC.
var texts = sqlio.DefaultSettings()

// view is what the columns of a relation message mean for the table here.
type view struct {
	t            *cdc.Table
	schema, name string // of the upstream table
	// from lists for each column here its place in the log's tuples, −1: it has none.
	from []int
	// past marks the columns that had another type when the message was sent: what does not fit is left out.
	past []bool
	key  []bool // of the columns here
	// blind: old rows cannot be told from the log, because the replica identity does not fit the table's key.
	blind  bool
	unsure bool // rows may come out wrong: the table has to be read anew
}

// newView connects a relation message with what the table here is in line with.
func newView(c *captured, m *relationMessage) *view {
	t := c.t
	v := &view{t: t, schema: c.known.Schema, name: c.known.Name, from: make([]int, len(t.Columns)), past: make([]bool, len(t.Columns)), key: make([]bool, len(t.Columns))}
	nums, sure := c.known.align(m.cols)
	for i, col := range t.Columns {
		v.from[i] = -1
		known := c.known.byName(col.Name)
		if col.Include != "" || known == nil {
			continue
		}
		v.from[i] = slices.Index(nums, known.Num)
		v.unsure = v.unsure || v.from[i] < 0 && known.Default
		v.past[i] = v.from[i] >= 0 && m.cols[v.from[i]].typ != known.Type
	}
	for _, k := range t.Key {
		v.key[k] = true
		v.blind = v.blind || v.from[k] < 0 || !m.cols[v.from[k]].key
	}
	if len(t.Key) == 0 {
		v.blind = m.identity != 'f'
	}
	v.unsure = v.unsure || !sure || slices.Contains(v.past, true)
	return v
}

func (v *view) label() string { return v.schema + "." + v.name }

// errBlind is the error about rows that cannot be told.
func (v *view) errBlind() error {
	return &cdc.TableError{Err: sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "the replica identity of upstream table %q does not fit the table here any more", v.label()).
		WithDetail("Rows that were changed or deleted can no longer be told from the log.").
		WithHint("Give the upstream table the replica identity that it had and ALTER TABLE … REFRESH SCHEMA here, or drop the table here and create it again.")}
}

// apply gives a change to the rows of its table. at is the time of its commit.
func (c *change) apply(r *rowChange, at int64) error {
	v := c.view
	if c.kind == msgTruncate {
		v.t.Truncate()
		return nil
	}
	if err := r.parse(c.kind, c.body); err != nil {
		return fmt.Errorf("read a change of upstream table %s: %w", v.label(), err)
	}
	if c.kind != msgInsert && v.blind {
		return v.errBlind()
	}
	if len(v.t.Key) == 0 {
		return v.applyBag(r, at)
	}
	return v.applyKeyed(r, at)
}

// applyBag changes a table without a key: the log has the old rows whole.
func (v *view) applyBag(r *rowChange, at int64) error {
	if r.oldKind == 'K' {
		return v.errBlind()
	}
	if r.oldKind != 0 && r.hasRow {
		fillUnchanged(r.row, r.old)
	}
	if r.oldKind != 0 {
		if err := v.append(r.old, nil, nil, at); err != nil {
			return err
		}
		v.t.Delete()
	}
	if r.hasRow {
		if err := v.append(r.row, nil, nil, at); err != nil {
			return err
		}
		v.t.Put()
	}
	return nil
}

// fillUnchanged takes what the log leaves out of a new row from the old one.
func fillUnchanged(row, old []value) {
	for i := range row {
		if row[i].kind == valueUnchanged && i < len(old) {
			row[i] = old[i]
		}
	}
}

// applyKeyed changes a table with a key: by commands.
func (v *view) applyKeyed(r *rowChange, at int64) error {
	moved := false
	if r.oldKind != 0 {
		for i, f := range v.from { // values of the key that are stored out of line come with the old row only
			if v.key[i] && r.hasRow && f < min(len(r.row), len(r.old)) && r.row[f].kind == valueUnchanged {
				r.row[f] = r.old[f]
			}
			moved = moved || v.key[i] && (!r.hasRow || !sameValue(valueAt(r.row, f), valueAt(r.old, f)))
		}
		if r.oldKind == 'O' && r.hasRow {
			fillUnchanged(r.row, r.old)
		}
	}
	if moved {
		if err := v.append(r.old, v.key, nil, at); err != nil {
			return err
		}
		v.t.Delete()
	}
	if !r.hasRow {
		return nil
	}
	keep := v.unchanged(r.row)
	if err := v.append(r.row, nil, keep, at); err != nil {
		return err
	}
	switch {
	case keep == nil:
		v.t.Put()
	case moved:
		v.t.PutMoved(keep)
	default:
		v.t.PutKeeping(keep)
	}
	return nil
}

func valueAt(row []value, i int) value {
	if i < 0 || i >= len(row) {
		return value{kind: valueNull}
	}
	return row[i]
}

func sameValue(a, b value) bool { return a.kind == b.kind && bytes.Equal(a.text, b.text) }

// unchanged is the bitmap of the columns here of which the log says only that they are as they were; nil: none.
func (v *view) unchanged(row []value) []byte {
	var keep []byte
	for i, f := range v.from {
		if f >= 0 && f < len(row) && row[f].kind == valueUnchanged {
			if keep == nil {
				keep = make([]byte, (len(v.from)+7)/8)
			}
			keep[i/8] |= 1 << (i % 8)
		}
	}
	return keep
}

// append adds the values of a row to the columns here: only those marked in only, when that is not nil; those in the bitmap keep have none.
func (v *view) append(row []value, only []bool, keep []byte, at int64) error {
	for i, f := range v.from {
		col := v.t.Col(i)
		if f < 0 {
			if include := v.t.Columns[i].Include; include != "" && only == nil {
				v.included(col, include, at)
			} else {
				col.AppendNull()
			}
			continue
		}
		if f >= len(row) {
			return fmt.Errorf("read a change of upstream table %s: %w", v.label(), errMalformed)
		}
		switch x := &row[f]; {
		case only != nil && !only[i], x.kind == valueNull, keep != nil && keep[i/8]&(1<<(i%8)) != 0:
			col.AppendNull()
		case x.kind == valueUnchanged:
			return v.errBlind()
		default:
			if err := sqlio.AppendParsed(col, x.text, texts); err != nil {
				if !v.past[i] {
					return badValue(v.label(), v.t.Columns[i].Name, x.text, err)
				}
				col.AppendNull()
			}
		}
	}
	return nil
}

// included fills a column from what surrounds a row.
func (v *view) included(col *delta.Vec, include string, at int64) {
	switch {
	case include == "timestamp" && len(v.t.Key) > 0:
		col.AppendInt(at)
	case include == "schema_name":
		col.AppendString(v.schema)
	case include == "table_name":
		col.AppendString(v.name)
	default:
		col.AppendNull()
	}
}

// badValue is the error about an upstream value that has no place here.
func badValue(table, column string, text []byte, cause error) error {
	shown := text[:min(len(text), 100)]
	return &cdc.TableError{Err: sqlerr.New(sqlerr.CodeOf(cause), "value of column %q of upstream table %q cannot be stored here: %s", column, table, sqlerr.From(cause).Message).
		WithDetail("The value is %q.", shown).WithCause(cause).WithTable("", table, column, "")}
}
