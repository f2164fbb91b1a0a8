package plan

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
)

// Check is a condition that every new row of a table must not fail; over the table's columns. With Input, it is one of rows that
// nothing has converted to the columns' types: Cond's value does not matter, but it must have one.
type Check struct {
	Name  string
	Cond  expr.Expr
	Input bool
}

// Insert is a bound INSERT.
type Insert struct {
	Table  *catalog.Relation
	Checks []Check
	// Source yields full rows of the table, in column order, defaults and casts applied.
	Source Node
	// Conflict: 0 raise 23505, 'N' DO NOTHING, 'U' DO UPDATE. Arbiter is the constraint that it is about, 0 the
	// primary key; AnyArbiter: all of them.
	Conflict   byte
	Arbiter    catalog.ID
	AnyArbiter bool
	// Set gives, for DO UPDATE, the new row (one expression per table column) over the existing row's
	// columns followed by the excluded row's and what Source yields behind a row. Where is its condition; nil: always.
	Set   []expr.Expr
	Where expr.Expr
	// Returning is over the inserted or updated row's columns; nil without RETURNING.
	Returning      []expr.Expr
	ReturningNames []string
}

// Update is a bound UPDATE. Source yields the old row (all table columns), then the new row, then whatever
// else RETURNING needs; Returning is over Source's columns. Of several matches for one old row the first counts.
type Update struct {
	Table          *catalog.Relation
	Checks         []Check
	Source         Node
	Returning      []expr.Expr
	ReturningNames []string
	Joined         bool // FROM: Source may show a row of the table several times
}

// Delete is a bound DELETE. Source yields the old row, then whatever else RETURNING needs.
type Delete struct {
	Table          *catalog.Relation
	Source         Node
	Returning      []expr.Expr
	ReturningNames []string
	Joined         bool // USING: Source may show a row of the table several times
}

// Merge is a bound MERGE. Source yields the target's old row, the new row, and as a bigint what is to be done: see the Merge constants.
type Merge struct {
	Table  *catalog.Relation
	Checks []Check
	Source Node
}

// What MERGE does with a row of its source.
const (
	MergeNothing int64 = iota
	MergeInsert
	MergeUpdate
	MergeDelete
)

// Change is a data-modifying statement: one of the fields after ID is set. ID numbers its Returned rows when it
// stands in WITH.
type Change struct {
	ID     int
	Insert *Insert
	Update *Update
	Delete *Delete
	Merge  *Merge
}

// Table is the relation that the statement changes.
func (c *Change) Table() *catalog.Relation {
	switch {
	case c.Insert != nil:
		return c.Insert.Table
	case c.Update != nil:
		return c.Update.Table
	case c.Merge != nil:
		return c.Merge.Table
	}
	return c.Delete.Table
}

// Source is the query that the statement's rows come from.
func (c *Change) Source() Node {
	switch {
	case c.Insert != nil:
		return c.Insert.Source
	case c.Update != nil:
		return c.Update.Source
	case c.Merge != nil:
		return c.Merge.Source
	}
	return c.Delete.Source
}

// WithSource returns the statement over another query.
func (c *Change) WithSource(n Node) *Change {
	out := *c
	switch {
	case c.Insert != nil:
		x := *c.Insert
		x.Source, out.Insert = n, &x
	case c.Update != nil:
		x := *c.Update
		x.Source, out.Update = n, &x
	case c.Merge != nil:
		out.Merge = &Merge{c.Merge.Table, c.Merge.Checks, n}
	default:
		x := *c.Delete
		x.Source, out.Delete = n, &x
	}
	return &out
}

// Returns lists what RETURNING gives; nil without it.
func (c *Change) Returns() ([]expr.Expr, []string) {
	switch {
	case c.Insert != nil:
		return c.Insert.Returning, c.Insert.ReturningNames
	case c.Update != nil:
		return c.Update.Returning, c.Update.ReturningNames
	case c.Merge != nil:
		return nil, nil
	}
	return c.Delete.Returning, c.Delete.ReturningNames
}

// MapExprs returns the statement with f applied to its expressions, those of Source among them.
func (c *Change) MapExprs(f func(expr.Expr) expr.Expr) *Change {
	out := c.WithSource(Transform(c.Source(), func(n Node) Node { return MapExprs(n, f) }))
	list := func(es []expr.Expr) []expr.Expr {
		if es == nil {
			return nil
		}
		to := make([]expr.Expr, len(es))
		for i, e := range es {
			to[i] = f(e)
		}
		return to
	}
	switch {
	case out.Insert != nil:
		x := out.Insert
		x.Set, x.Returning = list(x.Set), list(x.Returning)
		if x.Where != nil {
			x.Where = f(x.Where)
		}
	case out.Update != nil:
		out.Update.Returning = list(out.Update.Returning)
	case out.Delete != nil:
		out.Delete.Returning = list(out.Delete.Returning)
	}
	return out
}
