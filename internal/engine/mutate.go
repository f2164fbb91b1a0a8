package engine

import (
	"context"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/storage/table"
)

// Query says how a statement is to be run.
type Query struct {
	Catalog *catalog.Snapshot   // what the statement was bound against
	MinPos  uint64              // log position of the session's last write
	Lock    bool                // what is read must not have changed when the transaction commits
	Staged  map[catalog.ID]bool // relations that the running transaction will create when it commits
	Ctx     func() *expr.Ctx
	System  func(ctx context.Context, schema, name string, cols []int) (batch.ChunkIter, error)
	Batch   batch.Options // Ctx is filled in
	// snap is the view that all parts of a statement with data-modifying WITH share; nil: each opens its own.
	snap *statementView
}

// statementView is a view, and the log position up to which it reads.
type statementView struct {
	view *table.View
	pos  uint64
}

// relations reads a statement's view and the system relations.
type relations struct {
	*Reader
	q *Query
}

// System implements batch.Relations.
func (r relations) System(ctx context.Context, schema, name string, cols []int) (batch.ChunkIter, error) {
	return r.q.System(ctx, schema, name, cols)
}

// Rows is a running query; Close it.
type Rows struct {
	op   batch.Operator
	view *table.View
}

// Run starts a query. txn, if not nil, adds its own writes to what the query sees.
func (e *Engine) Run(ctx context.Context, txn *Txn, n plan.Node, q *Query) (*Rows, error) {
	view, err := e.open(ctx, txn, q, tablesOf(n))
	if err != nil {
		return nil, err
	}
	r, err := e.run(ctx, n, view, view, txn, q)
	if err != nil {
		view.Close()
		return nil, err
	}
	return r, nil
}

func (e *Engine) open(ctx context.Context, txn *Txn, q *Query, ids []catalog.ID) (view *table.View, err error) {
	if txn != nil && (txn.level > ReadCommitted || q.Lock) {
		var pos uint64
		view, pos, err = txn.view(ctx, ids, q)
		if q.Lock && err == nil {
			txn.locks = append(txn.locks, &readSet{pos: pos})
		}
	} else {
		var there []catalog.ID
		if there, err = q.existing(ids); err == nil {
			view, err = e.View(ctx, there, q.MinPos)
		}
	}
	if err == nil && txn != nil {
		txn.Overlay(view, ids)
	}
	return view, err
}

// existing leaves out the tables that the running transaction has created: nothing is stored of them yet.
func (q *Query) existing(ids []catalog.ID) ([]catalog.ID, error) {
	if len(q.Staged) == 0 {
		return ids, nil
	}
	var out []catalog.ID
	for _, id := range ids {
		if !q.Staged[id] {
			out = append(out, id)
			continue
		}
		if r := q.Catalog.Relations[id]; r != nil && r.Kind != catalog.Table && !r.Unique {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "%s %q cannot be read in the transaction that creates it", r.Kind, r.Name).
				WithHint("Its rows are computed when the transaction commits.")
		}
	}
	return out, nil
}

// run opens a query on a view; owned, if not nil, is closed with it.
func (e *Engine) run(ctx context.Context, n plan.Node, owned, view *table.View, txn *Txn, q *Query) (*Rows, error) {
	o := q.Batch
	o.Ctx = q.Ctx
	rd := &Reader{View: view, Rels: q.Catalog}
	switch {
	case txn != nil && q.Lock:
		rd.reads = txn.locks[len(txn.locks)-1]
	case txn != nil && txn.level == Serializable:
		rd.reads = &txn.fixed.reads
	}
	op, err := batch.Build(n, relations{rd, q}, o)
	if err != nil {
		return nil, err
	}
	if err := op.Open(ctx); err != nil {
		op.Close()
		return nil, err
	}
	return &Rows{op, owned}, nil
}

// Next returns the next rows, nil at the end.
func (r *Rows) Next(ctx context.Context) (*delta.Chunk, error) { return r.op.Next(ctx) }

// Close ends the query.
func (r *Rows) Close() {
	if r.op != nil {
		r.op.Close()
		if r.view != nil {
			r.view.Close()
		}
		r.op = nil
	}
}

// tablesOf lists the stored relations that a plan reads.
func tablesOf(n plan.Node) []catalog.ID {
	var ids []catalog.ID
	seen := map[catalog.ID]bool{}
	plan.Walk(n, func(n plan.Node) bool {
		if s, ok := n.(*plan.TableScan); ok && !seen[s.Table] {
			seen[s.Table] = true
			ids = append(ids, s.Table)
		}
		return true
	})
	return ids
}

// Result is what a data-modifying statement did.
type Result struct {
	Count     int64
	Returning []*delta.Chunk
}

// mutation is one data-modifying statement under way.
type mutation struct {
	rel       *catalog.Relation
	checks    *checker
	w         *Writer
	c         *expr.Ctx
	returning []expr.Program
	res       *Result
	beside    []*delta.Vec // what an INSERT's source yields behind its rows, for DO UPDATE
}

// mutate opens the statement's view and gives do the source's rows. They are read while others are changed already: a view
// does not see that.
func (e *Engine) mutate(ctx context.Context, txn *Txn, rel *catalog.Relation, checks []plan.Check, src plan.Node, ret []expr.Expr, q *Query,
	do func(m *mutation, c *delta.Chunk) error) (*Result, error) {
	ids := tablesOf(src)
	for _, id := range append(uniqueIndexes(rel, q.Catalog), rel.ID) {
		if !containsID(ids, id) {
			ids = append(ids, id)
		}
	}
	snap := q.snap
	if snap == nil {
		view, pos, err := txn.view(ctx, ids, q)
		if err != nil {
			return nil, err
		}
		defer view.Close()
		txn.Overlay(view, tablesOf(src)) // the writer looks at the transaction's own rows first
		snap = &statementView{view, pos}
	}
	m := &mutation{rel: rel, c: q.Ctx(), res: &Result{}}
	var err error
	if m.returning, err = expr.CompileAll(ret); err != nil {
		return nil, err
	}
	if m.checks, err = newChecker(rel, checks); err != nil {
		return nil, err
	}
	rows, err := e.run(ctx, src, nil, snap.view, txn, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m.w = txn.table(rel, q.Catalog, snap.view, snap.pos)
	for {
		c, err := rows.Next(ctx)
		if err != nil {
			return nil, err
		}
		if c == nil {
			return m.res, nil
		}
		if err := do(m, c); err != nil {
			return nil, err
		}
	}
}

// all runs a query to its end.
func (e *Engine) all(ctx context.Context, n plan.Node, view *table.View, txn *Txn, q *Query) ([]*delta.Chunk, error) {
	rows, err := e.run(ctx, n, nil, view, txn, q)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []*delta.Chunk
	for {
		c, err := rows.Next(ctx)
		if err != nil || c == nil {
			return out, err
		}
		out = append(out, c)
	}
}

// Modify runs the data-modifying statements of a WITH, then main, or n if there is no main. All of them see the tables as
// they were before the first; what the others return reaches them as plan.Returned.
func (e *Engine) Modify(ctx context.Context, txn *Txn, with []*plan.Change, main *plan.Change, n plan.Node, q *Query) (*Result, error) {
	if main != nil {
		n = main.Source()
	}
	ids := tablesOf(n)
	for _, c := range append(with[:len(with):len(with)], main) {
		if c == nil {
			continue
		}
		for _, id := range append(append(tablesOf(c.Source()), uniqueIndexes(c.Table(), q.Catalog)...), c.Table().ID) {
			if !containsID(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	view, pos, err := txn.view(ctx, ids, q)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	txn.Overlay(view, ids)
	shared := *q
	shared.snap = &statementView{view, pos}
	shared.Batch.Returned = map[int][]*delta.Chunk{}
	for _, c := range with {
		res, err := e.Change(ctx, txn, c, &shared)
		if err != nil {
			return nil, err
		}
		shared.Batch.Returned[c.ID] = res.Returning
	}
	if main != nil {
		return e.Change(ctx, txn, main, &shared)
	}
	res := &Result{}
	if res.Returning, err = e.all(ctx, n, view, txn, &shared); err != nil {
		return nil, err
	}
	for _, c := range res.Returning {
		res.Count += int64(c.Len())
	}
	return res, nil
}

// Change runs a data-modifying statement within a transaction.
func (e *Engine) Change(ctx context.Context, txn *Txn, c *plan.Change, q *Query) (*Result, error) {
	switch {
	case c.Insert != nil:
		return e.Insert(ctx, txn, c.Insert, q)
	case c.Update != nil:
		return e.Update(ctx, txn, c.Update, q)
	case c.Merge != nil:
		return e.Merge(ctx, txn, c.Merge, q)
	}
	return e.Delete(ctx, txn, c.Delete, q)
}

func containsID(ids []catalog.ID, id catalog.ID) bool {
	for _, x := range ids {
		if x == id {
			return true
		}
	}
	return false
}

// give evaluates RETURNING for all rows of c.
func (m *mutation) give(c *delta.Chunk) error {
	if len(m.returning) == 0 || c == nil {
		return nil
	}
	cols := make([]*delta.Vec, len(m.returning))
	for i, p := range m.returning {
		cols[i] = p.Eval(m.c, c)
	}
	if err := m.c.FirstErr(); err != nil {
		return err
	}
	m.res.Returning = append(m.res.Returning, (&delta.Chunk{Cols: cols, Sel: c.Sel, Rows: c.Rows}))
	return nil
}

// notNull checks the NOT NULL columns of row i.
func notNull(rel *catalog.Relation, cols []*delta.Vec, i int) error {
	for k := range rel.Columns {
		if rel.Columns[k].NotNull && cols[k].IsNull(i) {
			return sqlerr.New(sqlerr.NotNullViolation, "null value in column %q of relation %q violates not-null constraint",
				rel.Columns[k].Name, rel.Name).
				WithDetail("Failing row contains (%s).", rowText(cols, i)).
				WithTable(rel.Schema, rel.Name, rel.Columns[k].Name, "")
		}
	}
	return nil
}

func rowText(cols []*delta.Vec, i int) string {
	var b []byte
	for k, v := range cols {
		if k > 0 {
			b = append(b, ", "...)
		}
		if v.IsNull(i) {
			b = append(b, "null"...)
		} else {
			b = sqlio.AppendText(b, v, i, sqlio.DefaultSettings())
		}
	}
	return string(b)
}

// Insert runs INSERT within a transaction.
func (e *Engine) Insert(ctx context.Context, txn *Txn, s *plan.Insert, q *Query) (*Result, error) {
	set, err := expr.CompileAll(s.Set)
	if err != nil {
		return nil, err
	}
	var where expr.Program
	if s.Where != nil {
		if where, err = expr.Compile(s.Where); err != nil {
			return nil, err
		}
	}
	mine := map[string]bool{} // keys that this statement has written, for 21000
	return e.mutate(ctx, txn, s.Table, s.Checks, s.Source, s.Returning, q, func(m *mutation, c *delta.Chunk) error {
		out := delta.NewBuilder(s.Table.Types())
		if width := len(s.Table.Columns); len(c.Cols) > width {
			m.beside = c.Cols[width:]
			c = &delta.Chunk{Cols: c.Cols[:width], Sel: c.Sel, Rows: c.Rows, Weights: c.Weights}
		}
		for k := range c.Len() {
			i := c.Row(k)
			for range c.Weight(i) {
				if err := m.insertRow(s, c, i, set, where, out, mine); err != nil {
					return err
				}
			}
		}
		return m.give(out.Take())
	})
}

// insertRow adds one row, or does what ON CONFLICT says.
func (m *mutation) insertRow(s *plan.Insert, c *delta.Chunk, i int, set []expr.Program, where expr.Program, out *delta.Builder, mine map[string]bool) error {
	if err := m.checks.row(m.c, c, i); err != nil {
		return err
	}
	done, err := m.conflict(s, c, i, set, where, out, mine)
	if done || err != nil {
		return err
	}
	if err := m.w.free(c, i); err != nil {
		return err
	}
	if err := m.w.Insert(c, i); err != nil {
		return err
	}
	m.res.Count++
	if len(m.returning) > 0 {
		out.AppendRow(c, i, 1)
	}
	return nil
}

// conflict looks for a row with the key of row i and does what the statement or the table says about it; done: row i
// has been dealt with.
func (m *mutation) conflict(s *plan.Insert, c *delta.Chunk, i int, set []expr.Program, where expr.Program, out *delta.Builder, mine map[string]bool) (done bool, err error) {
	for _, u := range m.w.x.unique {
		if s.Conflict == 0 || u.con.ID != s.Arbiter && !s.AnyArbiter {
			continue
		}
		old, err := m.w.holder(u, c, i)
		if err != nil {
			return false, err
		}
		switch {
		case old != nil && s.Conflict == 'N':
			return true, nil
		case old != nil:
			if old, err = m.w.whole(u, old); err != nil {
				return false, err
			}
			return true, m.update(s, u.con.Name, u.cols, old, c, i, set, where, out, mine)
		case s.Conflict == 'U' && !u.exempt(c, i):
			mine[keyText(u.con.Name, u.cols, c, i)] = true
		}
	}
	if len(s.Table.PrimaryKey) == 0 {
		return false, nil
	}
	old, err := m.w.Existing(c, i)
	if err != nil {
		return false, err
	}
	conflict := s.Conflict
	if conflict == 0 {
		conflict = map[string]byte{"ignore": 'N', "overwrite": 'O'}[s.Table.OnConflict]
	} else if s.Arbiter != 0 {
		conflict = 0
	}
	if old == nil {
		if conflict == 'U' {
			mine[keyText("", s.Table.PrimaryKey, c, i)] = true
		}
		return false, nil
	}
	switch conflict {
	case 'N':
		return true, nil
	case 'O':
		return false, m.w.Delete(old, 0)
	case 'U':
		return true, m.update(s, "", s.Table.PrimaryKey, old, c, i, set, where, out, mine)
	}
	return false, duplicateKey(s.Table, c.Cols, i)
}

// update is DO UPDATE: no row may be updated twice.
func (m *mutation) update(s *plan.Insert, name string, key []int, old, c *delta.Chunk, i int, set []expr.Program, where expr.Program, out *delta.Builder, mine map[string]bool) error {
	k := keyText(name, key, c, i)
	if mine[k] {
		return sqlerr.New(sqlerr.CardinalityViolation, "ON CONFLICT DO UPDATE command cannot affect row a second time").
			WithHint("Ensure that no rows proposed for insertion within the same command have duplicate constrained values.")
	}
	mine[k] = true
	return m.upsert(s, old, c, i, set, where, out)
}

// keyText identifies a key of row i within a statement.
func keyText(name string, cols []int, c *delta.Chunk, i int) string {
	b := append([]byte(name), 0)
	for _, k := range cols {
		if c.Cols[k].IsNull(i) {
			b = append(b, 0)
			continue
		}
		b = sqlio.AppendKey(append(b, 1), c.Cols[k], i)
	}
	return string(b)
}

// upsert replaces an existing row by DO UPDATE's expressions over it and the excluded row.
func (m *mutation) upsert(s *plan.Insert, old, c *delta.Chunk, i int, set []expr.Program, where expr.Program, out *delta.Builder) error {
	types := append(s.Table.Types(), s.Table.Types()...)
	for _, v := range m.beside {
		types = append(types, v.Type)
	}
	both := delta.NewBuilder(types)
	for k, v := range m.beside {
		both.Col(2*len(old.Cols)+k).AppendFrom(v, i)
	}
	for k := range old.Cols {
		both.Col(k).AppendFrom(old.Cols[k], 0)
		both.Col(len(old.Cols)+k).AppendFrom(c.Cols[k], i)
	}
	both.EndRow(1)
	in := both.Take()
	if where != nil {
		v := where.Eval(m.c, in)
		if err := m.c.FirstErr(); err != nil {
			return err
		}
		if v.IsNull(0) || !v.Bools[0] {
			return nil
		}
	}
	cols := make([]*delta.Vec, len(set))
	for k, p := range set {
		cols[k] = p.Eval(m.c, in)
	}
	if err := m.c.FirstErr(); err != nil {
		return err
	}
	next := delta.NewChunk(cols, nil, 1)
	if err := m.replace(old, 0, next, 0); err != nil {
		return err
	}
	m.res.Count++
	out.AppendRow(next, 0, 1)
	return nil
}

// replace changes a stored row; a new key must be free.
func (m *mutation) replace(old *delta.Chunk, oi int, next *delta.Chunk, ni int) error {
	if err := m.checks.row(m.c, next, ni); err != nil {
		return err
	}
	if err := m.w.Delete(old, oi); err != nil {
		return err
	}
	if len(m.rel.PrimaryKey) > 0 {
		there, err := m.w.Existing(next, ni)
		if err != nil {
			return err
		}
		if there != nil {
			return duplicateKey(m.rel, next.Cols, ni)
		}
	}
	if err := m.w.free(next, ni); err != nil {
		return err
	}
	return m.w.Insert(next, ni)
}

// changed tells the stored rows that a statement has dealt with from those that it has not.
type changed struct {
	joined bool // the source may show a row several times; the first counts
	seen   map[string]bool
}

// times returns how many stored rows row i of a statement's source stands for: none when they have been dealt with.
func (m *mutation) times(x *changed, old *delta.Chunk, i int) (int64, error) {
	if x.joined {
		m.w.keyOf(old, i)
		if x.seen[string(m.w.k)] {
			return 0, nil
		}
		x.seen[string(m.w.k)] = true
		return m.copies(old, i)
	}
	n, err := m.copies(old, i)
	return min(n, old.Weight(i)), err // there may be more in the form of another schema version: the source shows them too
}

// copies returns how many stored rows are like row i.
func (m *mutation) copies(old *delta.Chunk, i int) (int64, error) {
	if len(m.rel.Key) > 0 {
		return 1, nil
	}
	return m.w.copies(old, i)
}

// Update runs UPDATE within a transaction.
func (e *Engine) Update(ctx context.Context, txn *Txn, s *plan.Update, q *Query) (*Result, error) {
	n := len(s.Table.Columns)
	var rows []newRow
	x := &changed{s.Joined, map[string]bool{}}
	res, err := e.mutate(ctx, txn, s.Table, s.Checks, s.Source, s.Returning, q, func(m *mutation, c *delta.Chunk) error {
		old, next := c.WithCols(c.Cols[:n]), c.WithCols(c.Cols[n:2*n])
		var keep []int32
		for k := range c.Len() {
			i := c.Row(k)
			times, err := m.times(x, old, i)
			if err != nil {
				return err
			}
			if times == 0 {
				continue
			}
			if err := m.checks.row(m.c, next, i); err != nil {
				return err
			}
			stays := len(m.w.x.unique) == 0 && m.w.sameKey(old, next, i)
			for range times {
				if err := m.w.Delete(old, i); err != nil {
					return err
				}
				if keep = append(keep, int32(i)); stays { // nobody else's key is in the way, and the row need not be kept until the end
					if err := m.w.Insert(next, i); err != nil {
						return err
					}
				} else { // all old rows go before the first new one comes, so that keys may be swapped
					rows = append(rows, newRow{next, i})
				}
				m.res.Count++
			}
		}
		if len(keep) == 0 {
			return nil
		}
		return m.give(c.WithSel(keep))
	})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return res, nil
	}
	if err := e.insertNew(ctx, txn, s.Table, rows, q); err != nil {
		return nil, err
	}
	return res, nil
}

// newRow is row i of a chunk, which is to be stored once all old rows are gone.
type newRow struct {
	c *delta.Chunk
	i int
}

// insertNew stores the new rows of UPDATE and MERGE; their keys must be free.
func (e *Engine) insertNew(ctx context.Context, txn *Txn, rel *catalog.Relation, rows []newRow, q *Query) error {
	w := &Writer{t: txn, x: txn.tables[rel.ID]}
	if q.snap != nil {
		w.view = q.snap.view
	} else {
		view, _, err := txn.view(ctx, append(uniqueIndexes(rel, q.Catalog), rel.ID), q)
		if err != nil {
			return err
		}
		defer view.Close()
		w.view = view
	}
	for _, r := range rows {
		if len(rel.PrimaryKey) > 0 {
			there, err := w.Existing(r.c, r.i)
			if err != nil {
				return err
			}
			if there != nil {
				return duplicateKey(rel, r.c.Cols, r.i)
			}
		}
		if err := w.free(r.c, r.i); err != nil {
			return err
		}
		if err := w.Insert(r.c, r.i); err != nil {
			return err
		}
	}
	return nil
}

// Merge runs MERGE within a transaction.
func (e *Engine) Merge(ctx context.Context, txn *Txn, s *plan.Merge, q *Query) (*Result, error) {
	n := len(s.Table.Columns)
	var rows []newRow
	left := map[string]int64{} // by key of a stored row: how many of them no source row has met
	res, err := e.mutate(ctx, txn, s.Table, s.Checks, s.Source, nil, q, func(m *mutation, c *delta.Chunk) error {
		old, next, action := c.WithCols(c.Cols[:n]), c.WithCols(c.Cols[n:2*n]), c.Cols[2*n]
		for k := range c.Len() {
			i := c.Row(k)
			do := action.Ints[i]
			if do == plan.MergeNothing {
				continue
			}
			times := c.Weight(i)
			if do != plan.MergeInsert {
				m.w.keyOf(old, i)
				there, known := left[string(m.w.k)]
				if !known {
					var err error
					if there, err = m.copies(old, i); err != nil {
						return err
					}
				}
				if times > there {
					return sqlerr.New(sqlerr.CardinalityViolation, "MERGE command cannot affect row a second time").
						WithHint("Ensure that not more than one source row matches any one target row.")
				}
				left[string(m.w.k)] = there - times
				for range times {
					if err := m.w.Delete(old, i); err != nil {
						return err
					}
				}
			}
			m.res.Count += times
			if do == plan.MergeDelete {
				continue
			}
			if err := m.checks.row(m.c, next, i); err != nil {
				return err
			}
			for range times {
				rows = append(rows, newRow{next, i})
			}
		}
		return nil
	})
	if err != nil || len(rows) == 0 {
		return res, err
	}
	if err := e.insertNew(ctx, txn, s.Table, rows, q); err != nil {
		return nil, err
	}
	return res, nil
}

// Delete runs DELETE within a transaction.
func (e *Engine) Delete(ctx context.Context, txn *Txn, s *plan.Delete, q *Query) (*Result, error) {
	n := len(s.Table.Columns)
	x := &changed{s.Joined, map[string]bool{}}
	return e.mutate(ctx, txn, s.Table, nil, s.Source, s.Returning, q, func(m *mutation, c *delta.Chunk) error {
		old := c.WithCols(c.Cols[:n])
		var keep []int32
		for k := range c.Len() {
			i := c.Row(k)
			times, err := m.times(x, old, i)
			if err != nil {
				return err
			}
			for range times {
				if err := m.w.Delete(old, i); err != nil {
					return err
				}
				keep = append(keep, int32(i))
				m.res.Count++
			}
		}
		if len(keep) == 0 {
			return nil
		}
		return m.give(c.WithSel(keep))
	})
}

// InsertChunk adds rows that need no planning: COPY. Columns are all of the table's, in order. EndLoad comes after the last chunk.
func (e *Engine) InsertChunk(ctx context.Context, txn *Txn, rel *catalog.Relation, checks []plan.Check, c *delta.Chunk, q *Query) (int64, error) {
	view, pos, err := txn.loadView(ctx, rel, q)
	if err != nil {
		return 0, err
	}
	m := &mutation{rel: rel, c: q.Ctx(), res: &Result{}, w: txn.table(rel, q.Catalog, view, pos)}
	if m.checks, err = newChecker(rel, checks); err != nil {
		return 0, err
	}
	s := &plan.Insert{Table: rel}
	out := delta.NewBuilder(rel.Types())
	for k := range c.Len() {
		if err := m.insertRow(s, c, c.Row(k), nil, nil, out, nil); err != nil {
			return 0, err
		}
	}
	return m.res.Count, nil
}
