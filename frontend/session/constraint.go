package session

import (
	"context"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/plan"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/planner/stream"
)

// tableParts is what a statement makes together with a table: sequences of its columns and indexes of its
// unique keys.
type tableParts struct {
	seqs    []*catalog.Relation
	indexes []*catalog.Relation
	// described is what the connector knows of the records.
	described engine.Description
}

func (p *tableParts) all() []*catalog.Relation { return append(slices.Clone(p.seqs), p.indexes...) }

// freeName is freeName past the names of the parts and of r's constraints.
func (s *Session) freeName(r *catalog.Relation, parts *tableParts, column, label string) string {
	for n := 0; ; n++ {
		try := label
		if n > 0 {
			try += strconv.Itoa(n)
		}
		name := freeName(s.snapshot(), r.Schema, r.Name, column, try)
		if r.ConstraintNamed(name) == nil && !slices.ContainsFunc(parts.all(), func(p *catalog.Relation) bool { return p.Name == name }) {
			return name
		}
	}
}

// storedDefault is the text to keep of a default: sequences are named with their schema, and depended on.
func (s *Session) storedDefault(r *catalog.Relation, e parser.Expr) (string, error) {
	var err error
	out := parser.Rewrite(e, func(x parser.Expr) parser.Expr {
		call, ok := x.(*parser.FuncCall)
		if !ok || call.Name.Last() != "nextval" || len(call.Args) != 1 {
			return x
		}
		arg := call.Args[0].Value
		if c, ok := arg.(*parser.Cast); ok {
			arg = c.X
		}
		lit, ok := arg.(*parser.StringLit)
		if !ok {
			return x
		}
		oid, e := sqlio.ParseText(sqltypes.Regclass, lit.Value, s.settings.io)
		if e != nil {
			err = sqlerr.From(e).At(lit.Pos)
			return x
		}
		id, _ := oid.(int64)
		q := s.snapshot().Relations[catalog.ID(id)]
		if q == nil || q.Kind != catalog.Sequence {
			return x
		}
		if !slices.Contains(r.DependsOn, q.ID) {
			r.DependsOn = append(slices.Clone(r.DependsOn), q.ID)
		}
		named, e := parser.ParseExpr(nextvalOf(q))
		if e != nil {
			err = e
			return x
		}
		return named
	})
	return parser.Format(out), err
}

// serial makes a column about to be added draw its default from a sequence of its own.
func (s *Session) serial(r *catalog.Relation, c *catalog.Column, opts []parser.SequenceOption, parts *tableParts) error {
	if r.Kind != catalog.Table {
		return sqlerr.New(sqlerr.FeatureNotSupported, "columns of a %s cannot draw from a sequence", r.Kind)
	}
	q, err := s.ownedSequence(r, c, opts, parts)
	if err != nil {
		return err
	}
	c.NotNull, c.Default = true, nextvalOf(q)
	q.Sequence.Column = r.NextColumnID + 1
	parts.seqs = append(parts.seqs, q)
	return nil
}

// addCheck adds a CHECK constraint; column is that of a column constraint, or "".
func (s *Session) addCheck(r *catalog.Relation, name string, e parser.Expr, column string, parts *tableParts, pos int) error {
	if r.Kind != catalog.Table || r.Connector != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "CHECK constraints are for tables without a connector").At(pos)
	}
	text := parser.Format(e)
	bound, err := bind.Check(s.env(nil), text, r)
	if err != nil {
		return sqlerr.From(unplaced(err)).At(pos)
	}
	c := catalog.Constraint{Kind: catalog.Check, Expr: text, Name: name}
	expr.Columns(bound, func(k int) {
		if id := r.Columns[k].ID; !slices.Contains(c.Columns, id) {
			c.Columns = append(c.Columns, id)
		}
	})
	if column == "" && len(c.Columns) == 1 {
		k, _ := r.ColumnAt(c.Columns[0])
		column = r.Columns[k].Name
	}
	return s.addConstraint(r, c, column, "check", parts)
}

// addConstraint names a constraint, unless it has a name, and adds it.
func (s *Session) addConstraint(r *catalog.Relation, c catalog.Constraint, column, label string, parts *tableParts) error {
	if c.Name == "" {
		c.Name = s.freeName(r, parts, column, label)
	} else if r.ConstraintNamed(c.Name) != nil || len(r.PrimaryKey) > 0 && c.Name == r.PrimaryKeyLabel() {
		if r.ID == 0 && c.Kind == catalog.Check {
			return sqlerr.New(sqlerr.DuplicateObject, "check constraint %q already exists", c.Name)
		}
		return sqlerr.New(sqlerr.DuplicateObject, "constraint %q for relation %q already exists", c.Name, r.Name)
	}
	r.Constraints = append(slices.Clone(r.Constraints), c)
	return nil
}

// addForeign records a foreign key, which is not enforced.
func (s *Session) addForeign(r *catalog.Relation, name string, cols []parser.Ident, ref *parser.Reference, parts *tableParts) error {
	s.notice("foreign keys are accepted and not enforced")
	if r.Kind != catalog.Table {
		return nil
	}
	c := catalog.Constraint{Kind: catalog.ForeignKey, Name: name, RefTable: ref.Table.String()}
	for _, id := range cols {
		k, ok := r.Column(id.Name)
		if !ok {
			return sqlerr.New(sqlerr.UndefinedColumn, "column %q referenced in foreign key constraint does not exist", id.Name)
		}
		c.Columns = append(c.Columns, r.Columns[k].ID)
	}
	for _, id := range ref.Columns {
		c.RefColumns = append(c.RefColumns, id.Name)
	}
	return s.addConstraint(r, c, strings.Join(identNames(cols), "_"), "fkey", parts)
}

func identNames(ids []parser.Ident) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.Name
	}
	return out
}

// addUnique adds a UNIQUE constraint and describes the index behind it.
func (s *Session) addUnique(r *catalog.Relation, name string, cols []parser.Ident, notDistinct bool, parts *tableParts, pos int) error {
	if r.Kind != catalog.Table || r.Connector != nil {
		return sqlerr.New(sqlerr.FeatureNotSupported, "UNIQUE constraints are for tables without a connector").At(pos)
	}
	c := catalog.Constraint{Kind: catalog.UniqueKey, Name: name, NullsNotDistinct: notDistinct}
	idx := &catalog.Relation{Schema: r.Schema, Kind: catalog.Index, Owner: r.Owner, Settings: r.Settings, Unique: true, NullsNotDistinct: notDistinct}
	for _, id := range cols {
		k, ok := r.Column(id.Name)
		if !ok {
			return sqlerr.New(sqlerr.UndefinedColumn, "column %q named in key does not exist", id.Name).At(pos)
		}
		if slices.Contains(c.Columns, r.Columns[k].ID) {
			return sqlerr.New(sqlerr.DuplicateColumn, "column %q appears twice in unique constraint", id.Name).At(pos)
		}
		if t := r.Columns[k].Type; t.Kind == sqltypes.KJSON {
			return noOperatorClass(t, pos)
		}
		c.Columns = append(c.Columns, r.Columns[k].ID)
		idx.IndexCols = append(idx.IndexCols, catalog.SortKey{Col: k})
	}
	if c.Name == "" {
		c.Name = s.freeName(r, parts, strings.Join(identNames(cols), "_"), "key")
	} else if _, taken := s.snapshot().Find(r.Schema, c.Name); taken || c.Name == r.Name {
		return sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", c.Name)
	}
	idx.Name = c.Name
	parts.indexes = append(parts.indexes, idx)
	return s.addConstraint(r, c, "", "", parts)
}

func noOperatorClass(t sqltypes.Type, pos int) error {
	return sqlerr.New(sqlerr.UndefinedObject, "data type %s has no default operator class for access method \"btree\"", t).At(pos).
		WithHint("You must specify an operator class for the index or define a default operator class for the data type.")
}

// join gives the parts of a table their ids, ties them to it and to each other, and plans the indexes.
func (s *Session) join(ctx context.Context, r *catalog.Relation, parts *tableParts) error {
	next, err := s.m.Catalog.NewIDs(ctx, len(parts.seqs)+len(parts.indexes)+len(r.Constraints))
	if err != nil {
		return err
	}
	r.DependsOn, r.Constraints = slices.Clone(r.DependsOn), slices.Clone(r.Constraints)
	for _, q := range parts.all() {
		q.ID = next
		next++
	}
	for i := range r.Constraints {
		if r.Constraints[i].ID == 0 {
			r.Constraints[i].ID = next
			next++
		}
	}
	for _, q := range parts.seqs {
		q.Sequence.Table = r.ID
		r.DependsOn = append(r.DependsOn, q.ID)
	}
	for _, x := range parts.indexes {
		for i := range r.Constraints {
			if c := &r.Constraints[i]; c.Kind == catalog.UniqueKey && c.Name == x.Name {
				c.Index = x.ID
			}
		}
		if err := s.planUnique(ctx, r, x); err != nil {
			return err
		}
	}
	return nil
}

// planUnique plans the index of a unique key.
func (s *Session) planUnique(ctx context.Context, base, idx *catalog.Relation) error {
	idx.IndexOn, idx.DependsOn, idx.Parallelism = base.ID, []catalog.ID{base.ID}, base.Parallelism
	idx.Columns, idx.NextColumnID = make([]catalog.Column, len(base.Columns)), int32(len(base.Columns))
	var key []string
	for i, c := range base.Columns {
		idx.Columns[i] = catalog.Column{ID: int32(i + 1), Name: c.Name, Type: c.Type}
	}
	for _, k := range idx.IndexCols {
		key = append(key, parser.QuoteIdent(base.Columns[k.Col].Name))
	}
	idx.Definition = "CREATE UNIQUE INDEX " + parser.QuoteIdent(idx.Name) + " ON " + parser.QuoteIdent(base.Schema) + "." +
		parser.QuoteIdent(base.Name) + " (" + strings.Join(key, ", ") + ")"
	if idx.NullsNotDistinct {
		idx.Definition += " NULLS NOT DISTINCT"
	}
	n, f := stream.UniqueJob(idx, base)
	states, err := setJob(idx, n, f)
	if err != nil {
		return err
	}
	idx.Creating, idx.StateCount = true, states+1
	idx.StateBase, err = s.m.Catalog.NewIDs(ctx, states+1)
	return err
}

// alterConstraint runs ALTER TABLE … ADD, DROP or RENAME CONSTRAINT.
func (s *Session) alterConstraint(ctx context.Context, old *catalog.Relation, a parser.AlterAction) (*catalog.Relation, error) {
	if old.Kind != catalog.Table {
		return nil, sqlerr.New(sqlerr.WrongObjectType, "%q is not a table", old.Name)
	}
	snap, r := s.snapshot(), *old
	switch a.Kind {
	case parser.AlterAddConstraint:
		return s.addTableConstraint(ctx, &r, a)
	case parser.AlterRenameConstr:
		return &r, s.renameConstraint(ctx, &r, a)
	}
	c := r.ConstraintNamed(a.Name)
	if c == nil {
		if len(r.PrimaryKey) > 0 && r.PrimaryKeyLabel() == a.Name {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "cannot drop the primary key of table %q", r.Name).
				WithHint("Rows are stored by it. Make a new table without it.")
		}
		if a.IfExists {
			s.notice("constraint %q of relation %q does not exist, skipping", a.Name, r.Name)
			return old, nil
		}
		return nil, sqlerr.New(sqlerr.UndefinedObject, "constraint %q of relation %q does not exist", a.Name, r.Name)
	}
	gone := *c
	r.Constraints = slices.DeleteFunc(slices.Clone(r.Constraints), func(x catalog.Constraint) bool { return x.ID == gone.ID })
	change := catalog.Change{Put: []*catalog.Relation{&r}}
	idx := snap.Relations[gone.Index]
	if idx != nil {
		change.Drop = []catalog.ID{idx.ID}
	}
	if err := s.apply(ctx, snap, change); err != nil || idx == nil {
		return &r, err
	}
	return &r, s.endJobs(ctx, []*catalog.Relation{idx})
}

func (s *Session) renameConstraint(ctx context.Context, r *catalog.Relation, a parser.AlterAction) error {
	snap := s.snapshot()
	primary := len(r.PrimaryKey) > 0 && r.PrimaryKeyLabel() == a.Name
	if r.ConstraintNamed(a.Name) == nil && !primary {
		return sqlerr.New(sqlerr.UndefinedObject, "constraint %q for table %q does not exist", a.Name, r.Name)
	}
	if r.ConstraintNamed(a.NewName) != nil {
		return sqlerr.New(sqlerr.DuplicateObject, "constraint %q for relation %q already exists", a.NewName, r.Name)
	}
	put := []*catalog.Relation{r}
	if primary {
		r.PrimaryKeyName = a.NewName
		return s.apply(ctx, snap, catalog.Change{Put: put})
	}
	r.Constraints = slices.Clone(r.Constraints)
	c := r.ConstraintNamed(a.Name)
	c.Name = a.NewName
	if idx := snap.Relations[c.Index]; idx != nil {
		if _, taken := snap.Find(r.Schema, a.NewName); taken {
			return sqlerr.New(sqlerr.DuplicateTable, "relation %q already exists", a.NewName)
		}
		next := *idx
		next.Name = a.NewName
		put = append(put, &next)
	}
	return s.apply(ctx, snap, catalog.Change{Put: put})
}

// addTableConstraint adds a constraint to a table that may have rows.
func (s *Session) addTableConstraint(ctx context.Context, r *catalog.Relation, a parser.AlterAction) (*catalog.Relation, error) {
	c, parts, had := a.Constraint, &tableParts{}, len(r.Constraints)
	var err error
	switch c.Kind {
	case parser.ConCheck:
		err = s.addCheck(r, c.Name, c.Expr, "", parts, c.Pos)
	case parser.ConUnique:
		err = s.addUnique(r, c.Name, c.Columns, c.NullsNotDistinct, parts, c.Pos)
	case parser.ConForeignKey:
		err = s.addForeign(r, c.Name, c.Columns, c.Ref, parts)
	default:
		return s.addPrimaryKey(ctx, r, c)
	}
	if err != nil {
		return nil, err
	}
	return r, s.enforce(ctx, r, parts, had)
}

// enforce stores r, which has new constraints from number first on, and makes sure that its rows keep to them. They bind
// all writes from the moment they are in the catalog; then the rows there are looked at, and the constraints are taken
// back if some violate them. They are looked at before, too, where most violations show.
func (s *Session) enforce(ctx context.Context, r *catalog.Relation, parts *tableParts, first int) error {
	if s.staging() {
		return s.enforceStaged(ctx, r, parts, first)
	}
	snap, added := s.snapshot(), r.Constraints[first:]
	for _, c := range added {
		if err := s.satisfied(ctx, r, c); err != nil {
			return err
		}
	}
	if err := s.join(ctx, r, parts); err != nil {
		return err
	}
	added = r.Constraints[first:]
	if err := s.apply(ctx, snap, catalog.Change{Put: append([]*catalog.Relation{r}, parts.indexes...)}); err != nil {
		return err
	}
	err := s.startIndexes(ctx, parts)
	if err == nil {
		err = s.m.Engine.Flush(ctx) // what was written without knowing of the constraint is seen from here on
	}
	for _, c := range added {
		// An index fails, too, when rows violate what it stands for; then this says it better.
		if e := s.satisfied(ctx, r, c); e != nil {
			err = e
			break
		}
	}
	if err == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	back := *s.snapshot().Relations[r.ID]
	back.Constraints = slices.DeleteFunc(slices.Clone(back.Constraints), func(c catalog.Constraint) bool {
		return slices.ContainsFunc(added, func(x catalog.Constraint) bool { return x.ID == c.ID })
	})
	change := catalog.Change{Put: []*catalog.Relation{&back}}
	for _, x := range parts.indexes {
		change.Drop = append(change.Drop, x.ID)
	}
	if e := s.apply(ctx, s.snapshot(), change); e != nil {
		s.m.Logger.Error("take back a constraint that rows violate", "relation", r.Name, "err", e)
	}
	for _, x := range parts.indexes {
		if e := s.m.Engine.DropJob(ctx, x); e != nil {
			s.m.Logger.Error("drop the index of a constraint that rows violate", "relation", r.Name, "err", e)
		}
	}
	return err
}

// enforceStaged is enforce in a transaction block: of a table that the block has created, nobody else can have written.
func (s *Session) enforceStaged(ctx context.Context, r *catalog.Relation, parts *tableParts, first int) error {
	if s.txn.stage == nil || !s.txn.stage.created[r.ID] {
		return notInBlock("a constraint of a table with rows")
	}
	if s.txn.writes != nil && s.txn.writes.Wrote(r.ID) {
		return sqlerr.New(sqlerr.ObjectInUse, "cannot ALTER TABLE %q because it was written to in this transaction", r.Name)
	}
	snap := s.snapshot()
	if err := s.join(ctx, r, parts); err != nil {
		return err
	}
	if err := s.apply(ctx, snap, catalog.Change{Put: append([]*catalog.Relation{r}, parts.indexes...)}); err != nil {
		return err
	}
	return s.startIndexes(ctx, parts)
}

func (s *Session) startIndexes(ctx context.Context, parts *tableParts) error {
	for _, x := range parts.indexes {
		if s.txn.stage != nil { // the commit starts it, behind its table
			if err := s.startJob(ctx, x); err != nil {
				return err
			}
			continue
		}
		if err := s.startIndex(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// startIndex starts the job of an index and waits until it has caught up, or has failed: rows that violate the key
// make it fail each time that it is started.
func (s *Session) startIndex(ctx context.Context, x *catalog.Relation) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.m.Engine.CreateJob(ctx, x) }() // waited for below
	tick := time.NewTicker(indexPoll)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if s.jobFailed(x.ID) {
				cancel()
				<-done
				return sqlerr.New(sqlerr.ObjectNotInPrerequisiteState, "could not create unique index %q", x.Name)
			}
		}
	}
}

// indexPoll is how often a new index is looked at.
const indexPoll = 50 * time.Millisecond

func (s *Session) jobFailed(id catalog.ID) bool {
	return slices.ContainsFunc(s.m.Engine.Jobs(), func(j engine.JobStatus) bool { return j.ID == id && j.Error != "" })
}

// satisfied fails if rows of r violate the constraint.
func (s *Session) satisfied(ctx context.Context, r *catalog.Relation, c catalog.Constraint) error {
	table := " FROM " + parser.QuoteIdent(r.Schema) + "." + parser.QuoteIdent(r.Name)
	var names, quoted []string
	for _, id := range c.Columns {
		k, _ := r.ColumnAt(id)
		names, quoted = append(names, r.Columns[k].Name), append(quoted, parser.QuoteIdent(r.Columns[k].Name))
	}
	sql := ""
	switch c.Kind {
	case catalog.Check:
		sql = "SELECT 1" + table + " WHERE NOT (" + c.Expr + ") LIMIT 1" // NULL is no violation
	case catalog.UniqueKey:
		sql = "SELECT " + strings.Join(quoted, ", ") + table
		if c.NullsNotDistinct {
			sql += " WHERE true"
		} else {
			sql += " WHERE " + strings.Join(quoted, " IS NOT NULL AND ") + " IS NOT NULL"
		}
		sql += " GROUP BY " + strings.Join(quoted, ", ") + " HAVING count(*) > 1 LIMIT 1"
	default:
		return nil
	}
	row, err := s.firstRow(ctx, sql)
	if err != nil || row == nil {
		return err
	}
	if c.Kind == catalog.Check {
		return sqlerr.New(sqlerr.CheckViolation, "check constraint %q of relation %q is violated by some row", c.Name, r.Name).
			WithTable(r.Schema, r.Name, "", c.Name)
	}
	vals := make([]string, len(row))
	for i, d := range row {
		k, _ := r.ColumnAt(c.Columns[i])
		if vals[i] = "null"; d != nil {
			vals[i] = sqlio.TextOf(r.Columns[k].Type, d, s.settings.io)
		}
	}
	return sqlerr.New(sqlerr.UniqueViolation, "could not create unique index %q", c.Name).
		WithDetail("Key (%s)=(%s) is duplicated.", strings.Join(names, ", "), strings.Join(vals, ", ")).
		WithTable(r.Schema, r.Name, "", c.Name)
}

// firstRow runs a query and returns its first row, nil if it has none.
func (s *Session) firstRow(ctx context.Context, sql string) ([]sqltypes.Datum, error) {
	st, err := parser.ParseOne(sql)
	if err != nil {
		return nil, err
	}
	n, err := bind.Query(s.env(nil), st.(*parser.SelectStmt).Query)
	if err != nil {
		return nil, err
	}
	if n, err = planBatch(n, s.snapshot()); err != nil {
		return nil, err
	}
	rows, err := s.m.Engine.Run(ctx, nil, n, s.query2())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	c, err := rows.Next(ctx)
	if err != nil || c == nil || c.Len() == 0 {
		return nil, err
	}
	out := make([]sqltypes.Datum, len(c.Cols))
	for i, v := range c.Cols {
		out[i] = v.Datum(c.Row(0))
	}
	return out, nil
}

// Demands binds what a table demands of rows that are not made by a statement: CHECK constraints and the domains of
// columns. The context is what they are evaluated with.
func (m *Manager) Demands(ctx context.Context, table *catalog.Relation) ([]plan.Check, *expr.Ctx, error) {
	ps, err := m.Open(ctx, pgwire.Startup{User: internalUser, Database: m.Catalog.Snapshot().Database})
	if err != nil {
		return nil, nil, err
	}
	s := ps.(*Session)
	defer s.Close()
	checks, err := bind.InputChecks(s.env(nil), table)
	return checks, s.evalCtx(), err
}
