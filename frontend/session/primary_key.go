package session

import (
	"context"
	"errors"
	"slices"

	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// A primary key that is added to a table decides where its rows are stored, so they have to be stored anew. What a UNIQUE constraint
// makes is just that: an index that holds whole rows by the key, kept up to date, and binding for all who write. So the key begins
// as a UNIQUE constraint; then, while nobody may write, the index becomes the table, in one change of the catalog.

// addPrimaryKey runs ALTER TABLE … ADD PRIMARY KEY.
func (s *Session) addPrimaryKey(ctx context.Context, old *catalog.Relation, c *parser.TableConstraint) (*catalog.Relation, error) {
	r := *old
	r.Columns = slices.Clone(old.Columns)
	var cols []int
	for _, id := range c.Columns {
		k, ok := r.Column(id.Name)
		if !ok {
			return nil, sqlerr.New(sqlerr.UndefinedColumn, "column %q of relation %q does not exist", id.Name, r.Name).At(id.Pos)
		}
		if slices.Contains(cols, k) {
			return nil, sqlerr.New(sqlerr.DuplicateColumn, "column %q appears twice in primary key constraint", id.Name).At(id.Pos)
		}
		cols = append(cols, k)
	}
	if err := setPrimaryKey(&r, c.Name, cols, c.Pos); err != nil {
		return nil, err
	}
	r.Dist, r.UniqueKeys = nil, nil // were those of a table without a key
	if r.Connector != nil || r.Captured != nil {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "a primary key cannot be added to table %q, whose rows come from its connector", r.Name).At(c.Pos)
	}
	if s.txn.block {
		return &r, s.stagePrimaryKey(ctx, &r)
	}
	if err := s.onlyUniqueIndexes(old, c.Pos); err != nil {
		return nil, err
	}
	for _, k := range cols {
		if err := s.noNulls(ctx, old, k); err != nil {
			return nil, err
		}
	}
	idx, err := s.keyIndex(ctx, old, &r, c)
	if err != nil {
		return nil, err
	}
	next, err := s.promote(ctx, old.ID, idx, &r)
	if err != nil {
		s.dropKeyIndex(context.WithoutCancel(ctx), old, idx)
	}
	return next, err
}

// stagePrimaryKey is addPrimaryKey in a transaction block: of a table that the block has created and not written to.
func (s *Session) stagePrimaryKey(ctx context.Context, r *catalog.Relation) error {
	if s.txn.stage == nil || !s.txn.stage.created[r.ID] {
		return notInBlock("ALTER TABLE ... ADD PRIMARY KEY of a table with rows")
	}
	if s.txn.writes != nil && s.txn.writes.Wrote(r.ID) {
		return sqlerr.New(sqlerr.ObjectInUse, "cannot ALTER TABLE %q because it was written to in this transaction", r.Name)
	}
	if _, err := s.setTableJob(r); err != nil {
		return err
	}
	return s.apply(ctx, s.snapshot(), catalog.Change{Put: []*catalog.Relation{r}})
}

// onlyUniqueIndexes refuses the change while anything depends on the table but the indexes of its own constraints.
func (s *Session) onlyUniqueIndexes(r *catalog.Relation, pos int) error {
	for _, d := range s.snapshot().Dependants(r.ID) {
		if !slices.ContainsFunc(r.Constraints, func(c catalog.Constraint) bool { return c.Index == d.ID }) {
			return sqlerr.New(sqlerr.DependentObjectsStillExist, "cannot add a primary key to table %q because %s %q depends on it", r.Name, d.Kind, d.Name).At(pos).
				WithHint("Its rows are stored by the key: add it before other relations read the table.")
		}
	}
	return nil
}

// keyIndex makes the table keep to the key from now on, as a UNIQUE constraint over columns without NULL, and returns its index.
func (s *Session) keyIndex(ctx context.Context, old, r *catalog.Relation, c *parser.TableConstraint) (catalog.ID, error) {
	unique, parts, had := *old, &tableParts{}, len(old.Constraints)
	unique.Columns = r.Columns
	if err := s.addUnique(&unique, r.PrimaryKeyLabel(), c.Columns, false, parts, c.Pos); err != nil {
		return 0, err
	}
	if err := s.enforce(ctx, &unique, parts, had); err != nil {
		s.amend(context.WithoutCancel(ctx), old.ID, func(now *catalog.Relation) {
			now.Columns = slices.Clone(now.Columns)
			for i := range now.Columns {
				now.Columns[i].NotNull = old.Columns[i].NotNull
			}
		})
		return 0, err
	}
	return parts.indexes[0].ID, nil
}

// amend changes a relation's record, whatever others do to the catalog meanwhile.
func (s *Session) amend(ctx context.Context, id catalog.ID, f func(r *catalog.Relation)) {
	for {
		snap := s.snapshot()
		if snap.Relations[id] == nil {
			return
		}
		r := *snap.Relations[id]
		f(&r)
		err := s.apply(ctx, snap, catalog.Change{Put: []*catalog.Relation{&r}})
		if err == nil {
			return
		}
		if !errors.Is(err, catalog.ErrConflict) {
			s.m.Logger.Error("take back a primary key that could not be added", "relation", r.Name, "err", err)
			return
		}
	}
}

// dropKeyIndex takes back what keyIndex has done.
func (s *Session) dropKeyIndex(ctx context.Context, old *catalog.Relation, idx catalog.ID) {
	x := s.snapshot().Relations[idx]
	if x == nil || x.Kind != catalog.Index {
		return // it is the table already
	}
	s.amend(ctx, old.ID, func(r *catalog.Relation) {
		r.Columns = slices.Clone(r.Columns)
		for i := range r.Columns {
			r.Columns[i].NotNull = old.Columns[i].NotNull
		}
		r.Constraints = slices.DeleteFunc(slices.Clone(r.Constraints), func(c catalog.Constraint) bool { return c.Index == idx })
	})
	s.forget(ctx, x)
}

// promote makes an index over whole rows the table, in place of table id. shape has the columns and the key of the result.
func (s *Session) promote(ctx context.Context, id, idx catalog.ID, shape *catalog.Relation) (*catalog.Relation, error) {
	open := s.m.Engine.CloseToWriters(id)
	defer open()
	if err := s.m.Engine.Checkpoint(ctx); err != nil { // the index holds all that was written
		return nil, err
	}
	for _, k := range shape.PrimaryKey { // it does not hold rows with NULL, which may have come before the constraint
		if err := s.noNulls(ctx, s.snapshot().Relations[id], k); err != nil {
			return nil, err
		}
	}
	for {
		snap := s.snapshot()
		was, x := snap.Relations[id], snap.Relations[idx]
		if was == nil || x == nil {
			return nil, sqlerr.New(sqlerr.UndefinedTable, "relation %q was dropped concurrently", shape.Name)
		}
		if err := s.onlyUniqueIndexes(was, -1); err != nil {
			return nil, err
		}
		r, parts, change, err := s.promotion(ctx, snap, was, x, shape)
		if err != nil {
			return nil, err
		}
		err = s.apply(ctx, snap, change)
		if errors.Is(err, catalog.ErrConflict) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ctx = context.WithoutCancel(ctx) // the catalog has decided
		if err := s.m.Engine.ReplaceJob(ctx, r); err != nil {
			return nil, err
		}
		gone := []*catalog.Relation{was}
		for _, d := range change.Drop {
			if g := snap.Relations[d]; d != id && g.HasJob() {
				gone = append(gone, g)
			}
		}
		slices.Reverse(gone) // indexes before the table that they read
		if err := s.endJobs(ctx, gone); err != nil {
			return nil, err
		}
		return r, s.startIndexes(ctx, parts)
	}
}

// promotion is the change of the catalog by which index x becomes table was; its unique keys get new indexes.
func (s *Session) promotion(ctx context.Context, snap *catalog.Snapshot, was, x, shape *catalog.Relation) (*catalog.Relation, *tableParts, catalog.Change, error) {
	r, parts := *was, &tableParts{}
	change := catalog.Change{Drop: []catalog.ID{was.ID}}
	r.ID, r.StateBase, r.StateCount = x.ID, x.StateBase, x.StateCount
	r.SchemaVersion, r.History = x.SchemaVersion, x.History // the rows are those of the index
	r.PrimaryKey, r.PrimaryKeyName, r.Dist, r.UniqueKeys = shape.PrimaryKey, shape.PrimaryKeyName, shape.Dist, shape.UniqueKeys
	r.Constraints = nil
	for _, c := range was.Constraints {
		if c.Index == x.ID {
			continue
		}
		if at := snap.Relations[c.Index]; at != nil {
			change.Drop = append(change.Drop, at.ID)
			next := &catalog.Relation{Schema: at.Schema, Name: at.Name, Kind: catalog.Index, Owner: at.Owner, Settings: at.Settings, Unique: true,
				NullsNotDistinct: at.NullsNotDistinct, IndexCols: at.IndexCols, Comment: at.Comment}
			parts.indexes = append(parts.indexes, next)
		}
		r.Constraints = append(r.Constraints, c)
	}
	if _, err := s.setTableJob(&r); err != nil {
		return nil, nil, change, err
	}
	if err := s.join(ctx, &r, parts); err != nil {
		return nil, nil, change, err
	}
	change.Put = append([]*catalog.Relation{&r}, parts.indexes...)
	for _, q := range snap.Owned(was.ID, 0) {
		next, def := *q, *q.Sequence
		def.Table = r.ID
		next.Sequence = &def
		change.Put = append(change.Put, &next)
	}
	return &r, parts, change, nil
}
