package parser

// merge parses MERGE.
func (p *parser) merge(with *With) Stmt {
	s := &MergeStmt{With: with}
	p.expect("merge", "into")
	rel, alias := p.writeTarget()
	s.Table, s.Only, s.Alias = rel.Name, rel.Only, alias
	p.expect("using")
	s.Using = p.tableRef()
	p.expect("on")
	s.On = p.expr()
	for {
		s.Whens = append(s.Whens, p.mergeWhen())
		if !p.is("when") {
			return s
		}
	}
}

func (p *parser) mergeWhen() MergeWhen {
	w := MergeWhen{Loc: p.loc()}
	p.expect("when")
	w.Matched = !p.take("not")
	p.expect("matched")
	if p.take("and") {
		w.Cond = p.expr()
	}
	p.expect("then")
	switch {
	case p.take("do"):
		p.expect("nothing")
	case w.Matched && p.take("update"):
		w.Action = MergeUpdate
		p.expect("set")
		w.Set = p.setClauses()
	case w.Matched && p.take("delete"):
		w.Action = MergeDelete
	case !w.Matched && p.take("insert"):
		w.Action = MergeInsert
		p.mergeInsert(&w)
	default:
		p.fail()
	}
	return w
}

func (p *parser) mergeInsert(w *MergeWhen) {
	if p.takeWords("default", "values") {
		return
	}
	if p.isPunct("(") {
		p.parens(func() {
			p.list(func() { w.Columns = append(w.Columns, p.assignTarget()) })
		})
	}
	if p.take("overriding") {
		if w.Overriding = upper(p.takeAny("user", "system")); w.Overriding == "" {
			p.fail()
		}
		p.expect("value")
	}
	p.expect("values")
	p.parens(func() { w.Values = p.exprList() })
}
