package plan

import (
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
)

// Check is a condition that every new row of a table must not fail; over the table's columns.
type Check struct {
	Name string
	Cond expr.Expr
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
	// columns followed by the excluded row's. Where is its condition; nil: always.
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
}

// Delete is a bound DELETE. Source yields the old row, then whatever else RETURNING needs.
type Delete struct {
	Table          *catalog.Relation
	Source         Node
	Returning      []expr.Expr
	ReturningNames []string
}
