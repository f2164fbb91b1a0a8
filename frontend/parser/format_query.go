package parser

func (f *formatter) query(q *Query) {
	f.with(q.With)
	f.body(q.Body, 1)
	f.orderBy(q.OrderBy)
	if q.Limit != nil && !q.WithTies {
		f.add(" LIMIT ")
		f.expr(q.Limit)
	}
	if q.Offset != nil {
		f.add(" OFFSET ")
		f.expr(q.Offset)
	}
	if q.WithTies {
		f.add(" FETCH FIRST ")
		f.fetchCount(q.Limit)
		f.add(" ROWS WITH TIES")
	}
	for _, l := range q.Locking {
		f.add(" FOR ", l.Strength)
		if l.Of != nil {
			f.add(" OF ")
			f.names(l.Of)
		}
		f.addIf(l.Wait != "", " "+l.Wait)
	}
}

// fetchCount writes the count of FETCH FIRST: a number, or an expression in parentheses.
func (f *formatter) fetchCount(e Expr) {
	if u, ok := e.(*Unary); ok && u.Op == "-" && u.Schema == nil {
		if _, ok := u.X.(*NumberLit); ok {
			f.bare(e)
			return
		}
	}
	if _, ok := e.(*NumberLit); ok {
		f.bare(e)
		return
	}
	f.parens(e)
}

// body writes a query body, in parentheses if it is a set operation below precedence least (1 for
// UNION and EXCEPT, 2 for INTERSECT) or has clauses of its own.
func (f *formatter) body(b QueryBody, least int) {
	switch b := b.(type) {
	case *Query:
		f.add("(")
		f.query(b)
		f.add(")")
	case *Select:
		f.selectClause(b)
	case *Values:
		f.values(b)
	case *SetOp:
		prec := 1
		if b.Kind == Intersect {
			prec = 2
		}
		f.addIf(prec < least, "(")
		f.body(b.Left, prec)
		f.add(setNames[b.Kind])
		f.addIf(b.All, "ALL ")
		f.body(b.Right, prec+1)
		f.addIf(prec < least, ")")
	}
}

var setNames = map[SetKind]string{Union: " UNION ", Intersect: " INTERSECT ", Except: " EXCEPT "}

func (f *formatter) values(v *Values) {
	f.add("VALUES ")
	f.commas(len(v.Rows), func(i int) {
		f.add("(")
		f.exprs(v.Rows[i])
		f.add(")")
	})
}

func (f *formatter) with(w *With) {
	if w == nil {
		return
	}
	f.add("WITH ")
	f.addIf(w.Recursive, "RECURSIVE ")
	f.commas(len(w.CTEs), func(i int) {
		c := w.CTEs[i]
		f.ident(c.Name)
		f.columns(c.Columns)
		f.add(" AS ")
		if c.Materialized != nil {
			f.add(not(!*c.Materialized), "MATERIALIZED ")
		}
		f.add("(")
		f.queryOrStmt(c.Query, c.DML)
		f.add(")")
		f.traces(c)
	})
	f.add(" ")
}

// traces prints SEARCH and CYCLE.
func (f *formatter) traces(c CTE) {
	names := func(ids []Ident) { f.commas(len(ids), func(i int) { f.ident(ids[i].Name) }) }
	if s := c.Search; s != nil {
		order := "DEPTH"
		if s.Breadth {
			order = "BREADTH"
		}
		f.add(" SEARCH ", order, " FIRST BY ")
		names(s.Columns)
		f.add(" SET ")
		f.ident(s.Set.Name)
	}
	if y := c.Cycle; y != nil {
		f.add(" CYCLE ")
		names(y.Columns)
		f.add(" SET ")
		f.ident(y.Mark.Name)
		if y.To != nil {
			f.add(" TO ")
			f.expr(y.To)
			f.add(" DEFAULT ")
			f.expr(y.Default)
		}
		f.add(" USING ")
		f.ident(y.Path.Name)
	}
}

func (f *formatter) queryOrStmt(q *Query, s Stmt) {
	if q != nil {
		f.query(q)
		return
	}
	f.stmt(s)
}

func (f *formatter) selectClause(s *Select) {
	f.add("SELECT")
	f.addIf(s.Distinct, " DISTINCT")
	if s.DistinctOn != nil {
		f.add(" ON (")
		f.exprs(s.DistinctOn)
		f.add(")")
	}
	f.addIf(len(s.Targets) > 0, " ")
	f.targets(s.Targets)
	f.fromClause(" FROM ", s.From)
	f.where(" WHERE ", s.Where)
	if s.GroupBy != nil {
		f.add(" GROUP BY ")
		f.addIf(s.GroupDistinct, "DISTINCT ")
		f.commas(len(s.GroupBy), func(i int) { f.groupItem(s.GroupBy[i]) })
	}
	f.where(" HAVING ", s.Having)
	if s.Windows != nil {
		f.add(" WINDOW ")
		f.commas(len(s.Windows), func(i int) {
			f.ident(s.Windows[i].Name)
			f.add(" AS ")
			f.windowSpec(s.Windows[i].Spec)
		})
	}
}

// where writes a clause that is a word and an expression, if there is one.
func (f *formatter) where(word string, e Expr) {
	if e != nil {
		f.add(word)
		f.expr(e)
	}
}

// fromClause writes FROM or USING, if there are items.
func (f *formatter) fromClause(word string, refs []TableRef) {
	if refs != nil {
		f.add(word)
		f.commas(len(refs), func(i int) { f.tableRef(refs[i]) })
	}
}

func (f *formatter) targets(list []Target) {
	f.commas(len(list), func(i int) {
		f.expr(list[i].Expr)
		if list[i].Alias != "" {
			f.add(" AS ")
			f.ident(list[i].Alias)
		}
	})
}

func (f *formatter) groupItem(g GroupItem) {
	switch g.Kind {
	case GroupExpr:
		f.expr(g.Exprs[0])
	case GroupEmpty:
		f.add("()")
	case GroupRollup:
		f.add("ROLLUP(")
		f.exprs(g.Exprs)
		f.add(")")
	case GroupCube:
		f.add("CUBE(")
		f.exprs(g.Exprs)
		f.add(")")
	case GroupSets:
		f.add("GROUPING SETS (")
		f.commas(len(g.Sets), func(i int) { f.groupItem(g.Sets[i]) })
		f.add(")")
	}
}

func (f *formatter) orderBy(items []OrderItem) {
	if items != nil {
		f.add(" ORDER BY ")
		f.orderItems(items)
	}
}

func (f *formatter) orderItems(items []OrderItem) {
	f.commas(len(items), func(i int) {
		o := items[i]
		f.expr(o.Expr)
		f.addIf(o.Using != "", " USING "+o.Using)
		f.order(o.Desc, o.Nulls)
	})
}

func (f *formatter) order(desc bool, nulls NullsOrder) {
	f.addIf(desc, " DESC")
	f.addIf(nulls == NullsFirst, " NULLS FIRST")
	f.addIf(nulls == NullsLast, " NULLS LAST")
}

func (f *formatter) tableRef(r TableRef) {
	switch r := r.(type) {
	case *RelRef:
		f.relRef(r)
	case *SubqueryRef:
		f.addIf(r.Lateral, "LATERAL ")
		f.add("(")
		f.query(r.Query)
		f.add(")")
		f.alias(r.Alias)
	case *FuncRef:
		f.funcRef(r)
	case *JoinRef:
		if r.Alias == nil {
			f.join(r)
			return
		}
		f.add("(")
		f.join(r)
		f.add(")")
		f.alias(r.Alias)
	}
}

func (f *formatter) alias(a *Alias) {
	if a != nil {
		f.add(" AS ")
		f.ident(a.Name)
		f.columns(a.Columns)
	}
}

func (f *formatter) relRef(r *RelRef) {
	f.addIf(r.Only, "ONLY ")
	f.name(r.Name)
	f.where(" FOR SYSTEM_TIME AS OF ", r.AsOf)
	f.alias(r.Alias)
	if s := r.Sample; s != nil {
		f.add(" TABLESAMPLE ")
		f.funcName(s.Method)
		f.mods(s.Args)
		if s.Repeatable != nil {
			f.add(" REPEATABLE (")
			f.expr(s.Repeatable)
			f.add(")")
		}
	}
}

func (f *formatter) funcRef(r *FuncRef) {
	f.addIf(r.Lateral, "LATERAL ")
	if r.RowsFrom {
		f.add("ROWS FROM (")
		f.commas(len(r.Funcs), func(i int) {
			f.fromCall(r.Funcs[i].Call)
			if defs := r.Funcs[i].ColumnDefs; defs != nil {
				f.add(" AS (")
				f.fields(defs)
				f.add(")")
			}
		})
		f.add(")")
	} else {
		f.fromCall(r.Funcs[0].Call)
	}
	f.addIf(r.Ordinality, " WITH ORDINALITY")
	f.alias(r.Alias)
	if r.ColumnDefs != nil {
		f.addIf(r.Alias == nil, " AS")
		f.add(" (")
		f.fields(r.ColumnDefs)
		f.add(")")
	}
}

// fromCall writes a function in FROM, where a cast must have the form of a call.
func (f *formatter) fromCall(e Expr) {
	if c, ok := e.(*Cast); ok {
		f.add("CAST(")
		f.expr(c.X)
		f.add(" AS ")
		f.typeName(c.Type)
		f.add(")")
		return
	}
	f.bare(e)
}

var joinNames = map[JoinKind]string{
	InnerJoin: "JOIN ", LeftJoin: "LEFT JOIN ", RightJoin: "RIGHT JOIN ", FullJoin: "FULL JOIN ", CrossJoin: "CROSS JOIN ",
}

func (f *formatter) join(j *JoinRef) {
	f.tableRef(j.Left)
	f.add(" ")
	f.addIf(j.Natural, "NATURAL ")
	f.addIf(j.AsOf, "ASOF ")
	f.add(joinNames[j.Kind])
	if right, ok := j.Right.(*JoinRef); ok && right.Alias == nil {
		f.add("(")
		f.join(right)
		f.add(")")
	} else {
		f.tableRef(j.Right)
	}
	f.where(" ON ", j.On)
	if j.Using != nil {
		f.add(" USING")
		f.columns(j.Using)
		if j.UsingAlias != "" {
			f.add(" AS ")
			f.ident(j.UsingAlias)
		}
	}
}
