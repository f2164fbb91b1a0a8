package session

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/millrace/millrace/executor/batch"
	"github.com/millrace/millrace/frontend/bind"
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/engine"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// prepared is a statement bound to the catalog; bound again when the catalog has changed.
type prepared struct {
	s       *Session
	st      statement
	oids    []sqltypes.Type
	params  []sqltypes.Type
	columns []pgwire.Column
	cursor  []pgwire.Column // of DECLARE: what FETCH will return
	bound   bound
	rev     int64 // catalog revision it was bound at
	point   pointQuery
	// subscribe is what SUBSCRIBE, or DECLARE … FOR SUBSCRIBE, follows.
	subscribe *subscribe
	access    []*bind.Access
	// fn is the function in whose body the statement stands; last: it gives the result.
	fn   *catalog.Function
	last bool
}

// bound is what a statement was bound to; at most one field is set, none for utility statements.
type bound struct {
	locks  string // the query's locking clause
	query  plan.Node
	insert *plan.Insert
	update *plan.Update
	delete *plan.Delete
	merge  *plan.Merge
	verify *catalog.Relation // the view that query compares with its recomputation
	// changes are the data-modifying statements in WITH.
	changes []*plan.Change
	inserts bool // query returns the rows of an INSERT, the last of changes
	runs    bool // it calls functions that the session carries out
}

// change is the statement as a change; nil for a query.
func (b *bound) change() *plan.Change {
	if b.insert == nil && b.update == nil && b.delete == nil && b.merge == nil {
		return nil
	}
	return &plan.Change{Insert: b.insert, Update: b.update, Delete: b.delete, Merge: b.merge}
}

// set is the inverse of change.
func (b *bound) set(c *plan.Change) {
	b.insert, b.update, b.delete, b.merge = c.Insert, c.Update, c.Delete, c.Merge
}

// Prepare implements pgwire.Session.
func (s *Session) Prepare(ctx context.Context, st pgwire.Statement, oids []uint32) (pgwire.Prepared, error) {
	p := &prepared{s: s, st: st.(statement)}
	for _, o := range oids {
		t, ok := s.typeByOID(o)
		if o != 0 && !ok {
			return nil, sqlerr.New(sqlerr.UndefinedObject, "type with OID %d does not exist", o)
		}
		p.oids = append(p.oids, t) // 0 is unknown: inferred
	}
	if p.st.ast == nil {
		return p, nil
	}
	if err := s.mayRun(p.st.ast); err != nil {
		return nil, err
	}
	return p, s.unsafe(p.bind())
}

func (s *Session) env(params []sqltypes.Type) *bind.Env {
	return &bind.Env{Catalog: s.snapshot(), SearchPath: s.SearchPath(), Settings: s.settings.io,
		System: s.systemColumns, Session: s, MayUse: s.usable, Params: append([]sqltypes.Type(nil), params...)}
}

func (p *prepared) bind() (err error) {
	env := p.s.env(p.oids)
	if p.fn != nil {
		env = bind.FunctionEnv(env, p.fn)
	}
	p.rev = env.Catalog.Revision
	p.bound, p.columns, p.point = bound{}, nil, pointQuery{}
	defer func() { p.bound.runs = env.Runs }()
	switch x := p.st.ast.(type) {
	case *parser.SelectStmt:
		if p.bound.query, err = bind.Query(env, x.Query); err != nil {
			return err
		}
		if p.fn != nil {
			p.bound.locks = env.Locks
			if p.bound.query, err = p.functionResult(env, p.bound.query); err == nil {
				p.bound.query, err = p.s.planQuery(p.bound.query, env.Catalog)
			}
			break
		}
		p.columns = columnsOf(plan.Types(p.bound.query), names(p.bound.query))
		p.bound.locks = env.Locks
		setOrigins(p.columns, p.bound.query, env.Catalog, env.Used)
		p.bound.query, err = p.s.planQuery(p.bound.query, env.Catalog)
		if err == nil {
			p.point = p.s.pointQuery(p.bound, env)
		}
	case *parser.VerifyStmt:
		if p.bound.query, p.bound.verify, err = p.s.verification(x); err != nil {
			return err
		}
		p.columns = columnsOf(plan.Types(p.bound.query), names(p.bound.query))
	case *parser.InsertStmt:
		if bind.InsertQueries(x) {
			if p.bound.query, err = bind.InsertReturning(env, x); err != nil {
				return err
			}
			p.bound.inserts = true
			if p.bound.query, err = p.functionResult(env, p.bound.query); err != nil {
				return err
			}
			p.columns = columnsOf(plan.Types(p.bound.query), names(p.bound.query))
			p.bound.query, err = p.s.planQuery(p.bound.query, env.Catalog)
			break
		}
		if p.bound.insert, err = bind.Insert(env, x); err != nil {
			return err
		}
		if p.bound.insert.Returning, err = p.functionReturning(env, p.bound.insert.Returning); err != nil {
			return err
		}
		p.columns = returning(p.bound.insert.Returning, p.bound.insert.ReturningNames)
		p.bound.insert.Source, err = planBatch(p.bound.insert.Source, env.Catalog)
	case *parser.UpdateStmt:
		if p.bound.update, err = bind.Update(env, x); err != nil {
			return err
		}
		if p.bound.update.Returning, err = p.functionReturning(env, p.bound.update.Returning); err != nil {
			return err
		}
		p.columns = returning(p.bound.update.Returning, p.bound.update.ReturningNames)
		p.bound.update.Source, err = planBatch(p.bound.update.Source, env.Catalog)
	case *parser.DeleteStmt:
		if p.bound.delete, err = bind.Delete(env, x); err != nil {
			return err
		}
		if p.bound.delete.Returning, err = p.functionReturning(env, p.bound.delete.Returning); err != nil {
			return err
		}
		p.columns = returning(p.bound.delete.Returning, p.bound.delete.ReturningNames)
		p.bound.delete.Source, err = planBatch(p.bound.delete.Source, env.Catalog)
	case *parser.SubscribeStmt:
		if p.subscribe, err = p.s.bindSubscribe(x); err != nil {
			return err
		}
		p.columns = p.subscribe.columns
	case *parser.DeclareStmt:
		if x.Subscribe != nil {
			p.subscribe, err = p.s.bindSubscribe(x.Subscribe)
		}
		if x.Query == nil {
			break
		}
		if p.bound.query, err = bind.Query(env, x.Query); err != nil {
			return err
		}
		p.bound.locks = env.Locks
		p.cursor = columnsOf(plan.Types(p.bound.query), names(p.bound.query))
		p.bound.query, err = p.s.planQuery(p.bound.query, env.Catalog)
	case *parser.MergeStmt:
		if p.bound.merge, err = bind.Merge(env, x); err != nil {
			return err
		}
		p.bound.merge.Source, err = p.s.planQuery(p.bound.merge.Source, env.Catalog)
	default:
		p.columns = p.s.utilityColumns(p.st.ast)
	}
	p.params, p.access = env.Params, env.Access
	if err != nil {
		return err
	}
	for i, t := range p.params {
		if t.Kind == sqltypes.KUnknown || t == (sqltypes.Type{}) {
			return sqlerr.New(sqlerr.IndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
	}
	for _, c := range env.Changes {
		src, err := p.s.planQuery(c.Source(), env.Catalog)
		if err != nil {
			return err
		}
		p.bound.changes = append(p.bound.changes, c.WithSource(src))
	}
	return nil
}

func names(n plan.Node) []string {
	var out []string
	for _, c := range n.Columns() {
		out = append(out, c.Name)
	}
	return out
}

func columnsOf(types []sqltypes.Type, names []string) []pgwire.Column {
	out := make([]pgwire.Column, len(types))
	for i := range out {
		out[i] = pgwire.Column{Name: names[i], Type: types[i]}
	}
	return out
}

func returning(es []expr.Expr, names []string) []pgwire.Column {
	if es == nil {
		return nil
	}
	out := make([]pgwire.Column, len(es))
	for i, e := range es {
		out[i] = pgwire.Column{Type: e.Type()}
		if i < len(names) {
			out[i].Name = names[i]
		}
	}
	return out
}

// Params implements pgwire.Prepared.
func (p *prepared) Params() []sqltypes.Type { return p.params }

// Columns implements pgwire.Prepared.
func (p *prepared) Columns() []pgwire.Column { return p.columns }

// Close implements pgwire.Prepared.
func (p *prepared) Close() {}

// Bind implements pgwire.Prepared.
func (p *prepared) Bind(_ context.Context, args []sqltypes.Datum) (pgwire.Portal, error) {
	if p.st.ast == nil {
		return &portal{p: p}, nil
	}
	if p.rev != p.s.snapshot().Revision {
		cols := p.columns
		if err := p.bind(); err != nil {
			p.columns, p.rev = cols, 0 // it may fit again later
			return nil, err
		}
		if !sameColumns(cols, p.columns) {
			return nil, sqlerr.New(sqlerr.FeatureNotSupported, "cached plan must not change result type")
		}
	}
	if len(args) != len(p.params) {
		return nil, sqlerr.New(sqlerr.ProtocolViolation, "bind message supplies %d parameters, but prepared statement requires %d", len(args), len(p.params))
	}
	if p.point.q != nil {
		return &portal{p: p, args: args}, nil
	}
	return &portal{p: p, b: p.bound.with(args, p.params)}, nil
}

func sameColumns(a, b []pgwire.Column) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type {
			return false
		}
	}
	return true
}

// with returns the statement with its parameters replaced by constants.
func (b bound) with(args []sqltypes.Datum, types []sqltypes.Type) bound {
	if len(args) == 0 {
		return b
	}
	sub := func(e expr.Expr) expr.Expr {
		return expr.Transform(e, func(e expr.Expr) expr.Expr {
			if p, ok := e.(*expr.Param); ok {
				return &expr.Const{Ty: p.Ty, Val: args[p.Index-1]}
			}
			return e
		})
	}
	node := func(n plan.Node) plan.Node {
		return plan.Transform(n, func(n plan.Node) plan.Node { return plan.MapExprs(n, sub) })
	}
	if b.query != nil {
		b.query = node(b.query)
	}
	if c := b.change(); c != nil {
		b.set(c.MapExprs(sub))
	}
	for i, c := range b.changes {
		if i == 0 {
			b.changes = append([]*plan.Change(nil), b.changes...)
		}
		b.changes[i] = c.MapExprs(sub)
	}
	return b
}

// portal is a statement ready to run.
type portal struct {
	p    *prepared
	b    bound            // with its parameters' values
	args []sqltypes.Datum // they are not in b yet when the statement has a pointQuery
}

// Columns implements pgwire.Portal.
func (p *portal) Columns() []pgwire.Column { return p.p.columns }

// Execute implements pgwire.Portal.
func (p *portal) Execute(ctx context.Context) (pgwire.Rows, error) {
	s := p.p.s
	if p.p.st.ast == nil {
		return &done{}, nil
	}
	if err := s.mayRun(p.p.st.ast); err != nil {
		return nil, err
	}
	s.running(shown(p.p.st.ast), "active")
	s.txn.script, s.txn.more = p.p.st.script && !s.txn.block, p.p.st.more
	if s.pipeline.on && !s.txn.block {
		s.txn.script = s.pipeline.more || s.txn.stage != nil || s.txn.writes != nil
		s.txn.more = s.pipeline.more
	}
	limit := s.settings.often().statementTimeout
	s.stmt = ctx
	if limit <= 0 {
		rows, err := s.execute(ctx, p)
		return rows, s.unsafe(err)
	}
	end := time.Now().Add(limit)
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	rows, err := s.execute(ctx, p)
	if err != nil {
		return nil, s.unsafe(err)
	}
	return &timed{rows, s, end}, nil
}

// timed bounds the fetching of a statement's rows by its statement_timeout.
type timed struct {
	pgwire.Rows
	s   *Session
	end time.Time
}

// Ready implements pgwire.Live.
func (t *timed) Ready() bool {
	l, ok := t.Rows.(pgwire.Live)
	return !ok || l.Ready()
}

func (t *timed) Next(ctx context.Context) (*delta.Chunk, error) {
	ctx, cancel := context.WithDeadline(ctx, t.end)
	defer cancel()
	t.s.stmt = ctx
	return t.Rows.Next(ctx)
}

func (s *Session) execute(ctx context.Context, p *portal) (pgwire.Rows, error) {
	if err := s.mayAccess(p.p.access); err != nil {
		return nil, err
	}
	if s.txn.block {
		s.noteLocks(p)
	}
	if p.p.point.q != nil {
		if r := s.lookup(p); r != nil {
			return r, nil
		}
		p.b = p.p.bound.with(p.args, p.p.params)
	}
	if _, ok := p.p.st.ast.(*parser.SubscribeStmt); ok {
		rows, err := s.openSubscribe(ctx, p.p.subscribe)
		if err != nil {
			return nil, err
		}
		return rows, nil
	}
	if x, ok := p.p.st.ast.(*parser.DeclareStmt); ok {
		if err := s.declare(ctx, p, x); err != nil {
			return nil, err
		}
		return &done{tag: "DECLARE CURSOR"}, nil
	}
	switch {
	case p.b.query != nil && p.b.changes == nil:
		r, err := s.runQuery(ctx, p.b)
		if err != nil {
			return nil, err
		}
		return &queryRows{r: r}, nil
	case p.b.change() != nil, p.b.changes != nil:
		return s.modify(ctx, p.b)
	}
	return s.utility(ctx, p.p.st)
}

// query2 says how the engine is to run a statement of this session.
func (s *Session) query2() *engine.Query {
	q := &engine.Query{Catalog: s.snapshot(), MinPos: s.minPos(), Ctx: s.evalCtx, System: s.system,
		Batch: batch.Options{MemoryBytes: s.settings.often().queryMemory, TempDir: s.m.TempDir, Parallelism: runtime.GOMAXPROCS(0)}}
	if s.txn.stage != nil {
		q.Staged = s.txn.stage.created
	}
	return q
}

// queryOf is query2 for a statement that may call back into the session, which only one goroutine can.
func (s *Session) queryOf(b bound) *engine.Query {
	q := s.query2()
	if b.runs {
		q.Batch.Parallelism = 1
	}
	return q
}

// minPos is the log position that reads must hold: what anybody was told is committed is read, as in PostgreSQL. With
// consistency = latest a read never waits.
func (s *Session) minPos() uint64 {
	if s.settings.often().latest {
		return 0
	}
	return max(s.lastPos, s.m.Engine.Logged())
}

// changing computes what a statement changes.
func (s *Session) changing(ctx context.Context, txn *engine.Txn, b bound) (*engine.Result, error) {
	if b.changes != nil {
		return s.m.Engine.Modify(ctx, txn, b.changes, b.change(), b.query, s.queryOf(b))
	}
	return s.m.Engine.Change(ctx, txn, b.change(), s.queryOf(b))
}

// modify runs INSERT, UPDATE or DELETE in the current transaction.
func (s *Session) modify(ctx context.Context, b bound) (pgwire.Rows, error) {
	if err := s.mayWrite(b.verb()); err != nil {
		return nil, err
	}
	if err := s.settle(ctx, b); err != nil {
		return nil, err
	}
	run := func(ctx context.Context, txn *engine.Txn) (*engine.Result, error) {
		return s.changing(ctx, txn, b)
	}
	first := !s.txn.queried
	s.txn.queried = true
	// Rows that RETURNING has shown cannot be taken back, so such a statement, when it is the first of an implicit
	// transaction, commits at once: a conflict then runs it again before anybody sees its rows.
	alone := !s.txn.block && !s.txn.more && s.txn.stage == nil && s.txn.writes == nil && b.returns()
	var res *engine.Result
	for {
		var err error
		res, err = run(ctx, s.writes())
		if err == nil && !alone {
			break
		}
		if err == nil {
			var pos uint64
			if pos, err = s.txn.writes.Commit(ctx); err == nil {
				s.txn.writes = nil
				s.lastPos = max(s.lastPos, pos)
				return b.done(res), nil
			}
		}
		if s.txn.block || !first {
			return nil, conflictToError(err)
		}
		s.txn.writes.Abort()
		s.txn.writes = nil
		at, ok := engine.Conflict(err)
		if !ok {
			return nil, err
		}
		if err := s.m.Engine.WaitSeen(ctx, at); err != nil {
			return nil, err
		}
	}
	s.txn.redo = append(s.txn.redo, redo{count: res.Count, returning: len(res.Returning) > 0,
		run: func(ctx context.Context, txn *engine.Txn) (int64, error) {
			res, err := run(ctx, txn)
			if err != nil {
				return 0, err
			}
			return res.Count, nil
		}})
	return b.done(res), nil
}

// returns reports whether the statement has RETURNING.
func (b bound) returns() bool {
	if c := b.change(); c != nil {
		es, _ := c.Returns()
		return es != nil
	}
	return b.changes != nil
}

func (b bound) done(res *engine.Result) *done {
	tag := fmt.Sprintf("%s %d", b.verb(), res.Count)
	if b.insert != nil || b.inserts {
		tag = fmt.Sprintf("INSERT 0 %d", res.Count)
	}
	return &done{chunks: res.Returning, tag: tag}
}

func (b bound) verb() string {
	switch {
	case b.insert != nil, b.inserts:
		return "INSERT"
	case b.update != nil:
		return "UPDATE"
	case b.delete != nil:
		return "DELETE"
	case b.merge != nil:
		return "MERGE"
	}
	return "SELECT"
}

// queryRows streams a query.
type queryRows struct {
	r *engine.Rows
	n int64
}

func (q *queryRows) Next(ctx context.Context) (*delta.Chunk, error) {
	for {
		c, err := q.r.Next(ctx)
		if err != nil || c == nil {
			return nil, err
		}
		for k := range c.Len() {
			q.n += c.Weight(c.Row(k))
		}
		if c.Len() > 0 {
			return c, nil
		}
	}
}

func (q *queryRows) Tag() string { return fmt.Sprintf("SELECT %d", q.n) }
func (q *queryRows) Close()      { q.r.Close() }

// done is a finished statement, with the rows it returns, if any.
type done struct {
	chunks []*delta.Chunk
	tag    string
}

func (d *done) Next(context.Context) (*delta.Chunk, error) {
	if len(d.chunks) == 0 {
		return nil, nil
	}
	c := d.chunks[0]
	d.chunks = d.chunks[1:]
	return c, nil
}

func (d *done) Tag() string { return d.tag }
func (d *done) Close()      {}

// table makes a finished statement of boxed rows.
func table(cols []pgwire.Column, rows [][]sqltypes.Datum, tag string) *done {
	types := make([]sqltypes.Type, len(cols))
	for i := range cols {
		types[i] = cols[i].Type
	}
	b := delta.NewBuilder(types)
	for _, r := range rows {
		b.AppendDatums(r, 1)
	}
	d := &done{tag: tag}
	if c := b.Take(); c != nil {
		d.chunks = []*delta.Chunk{c}
	}
	if tag == "" {
		d.tag = fmt.Sprintf("SELECT %d", len(rows))
	}
	return d
}

// system reads a system relation.
func (s *Session) system(ctx context.Context, schema, name string, cols []int) (batch.ChunkIter, error) {
	all, ok := s.systemColumns(schema, name)
	if !ok {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "relation %q does not exist", schema+"."+name)
	}
	var rows [][]sqltypes.Datum
	var err error
	if q, isSeq := s.sequenceNamed(schema, name); isSeq {
		rows, err = s.sequenceRow(ctx, q)
	} else {
		rows, err = s.m.System.Rows(ctx, s, schema, name)
	}
	if err != nil {
		return nil, err
	}
	types := make([]sqltypes.Type, len(cols))
	for i, c := range cols {
		types[i] = all[c].Type
	}
	b := delta.NewBuilder(types)
	row := make([]sqltypes.Datum, len(cols))
	for _, r := range rows {
		for i, c := range cols {
			row[i] = r[c]
		}
		b.AppendDatums(row, 1)
	}
	return &systemRows{b.Take()}, nil
}

type systemRows struct{ c *delta.Chunk }

func (r *systemRows) Next(context.Context) (*delta.Chunk, error) {
	c := r.c
	r.c = nil
	return c, nil
}

func (r *systemRows) Close() {}
