package parser

// declare parses DECLARE name … CURSOR.
func (p *parser) declare() Stmt {
	p.advance()
	s := &DeclareStmt{Name: p.colID().Name}
	if s.IsSubscription = p.take("subscription"); s.IsSubscription {
		p.expect("cursor", "for")
		return p.subscriptionCursor(s)
	}
	for {
		switch {
		case p.takeWords("no", "scroll"):
			s.Options = append(s.Options, "NO SCROLL")
			continue
		case p.isAny("binary", "insensitive", "asensitive", "scroll"):
			s.Options = append(s.Options, upper(p.cur().val))
			p.advance()
			continue
		}
		break
	}
	p.expect("cursor")
	switch {
	case p.takeWords("with", "hold"):
		s.Hold = boolPtr(true)
	case p.takeWords("without", "hold"):
		s.Hold = boolPtr(false)
	}
	p.expect("for")
	if p.is("subscribe") {
		s.Subscribe = p.nested(p.subscribe).(*SubscribeStmt)
		return s
	}
	s.Query = p.query()
	return s
}

// subscriptionCursor parses what a subscription cursor is for: a subscription [SINCE x | FULL], or a query.
func (p *parser) subscriptionCursor(s *DeclareStmt) Stmt {
	if p.isPunct("(") || startsQuery(p.cur(), p.peek(1)) {
		s.Query = p.query()
		return s
	}
	s.Subscription = p.qualifiedName()
	switch {
	case p.take("since"):
		s.Since = p.expr()
	case p.take("full"):
		s.Full = true
	}
	return s
}

// fetch parses FETCH and MOVE.
func (p *parser) fetch() Stmt {
	s := &FetchStmt{Move: p.is("move"), Count: 1}
	p.advance()
	p.fetchDirection(s)
	p.takeAny("from", "in")
	s.Cursor = p.colID().Name
	s.Options = p.withOptions()
	return s
}

// fetchDirection parses what stands before [FROM|IN] cursor. A word that is followed by nothing is the
// cursor itself.
func (p *parser) fetchDirection(s *FetchStmt) {
	if t := p.cur(); t.kind == tokInt || t.kind == tokOp {
		s.Count = p.signedInt()
		return
	}
	if next := p.peek(1); next.kind == tokEOF || next.isPunct(";") || next.isPunct(")") {
		return
	}
	switch {
	case p.take("next"):
	case p.take("prior"):
		s.Kind = FetchBackward
	case p.take("first"):
		s.Kind = FetchAbsolute
	case p.take("last"):
		s.Kind, s.Count = FetchAbsolute, -1
	case p.take("absolute"):
		s.Kind, s.Count = FetchAbsolute, p.signedInt()
	case p.take("relative"):
		s.Kind, s.Count = FetchRelative, p.signedInt()
	case p.take("all"):
		s.All, s.Count = true, 0
	case p.take("forward"):
		p.fetchCount(s)
	case p.take("backward"):
		s.Kind = FetchBackward
		p.fetchCount(s)
	}
}

// fetchCount parses [n | ALL].
func (p *parser) fetchCount(s *FetchStmt) {
	switch {
	case p.take("all"):
		s.All, s.Count = true, 0
	case p.cur().kind == tokInt, p.cur().kind == tokOp:
		s.Count = p.signedInt()
	}
}

func (p *parser) closeCursor() Stmt {
	p.advance()
	if p.take("all") {
		return &CloseStmt{}
	}
	return &CloseStmt{Name: p.colID().Name}
}

// subscribe parses SUBSCRIBE [TO] (query) | relation and its clauses, which may come in any order.
func (p *parser) subscribe() Stmt {
	s := &SubscribeStmt{}
	p.advance()
	p.take("to")
	if p.isPunct("(") {
		s.Query = p.selectWithParens()
	} else {
		s.Relation = p.qualifiedName()
	}
	for {
		switch {
		case s.Options == nil && p.is("with"):
			if s.Options = p.withOptions(); s.Options == nil {
				p.fail()
			}
		case s.UpsertKey == nil && p.takeWords("envelope", "upsert"):
			p.parens(func() {
				p.expect("key")
				s.UpsertKey = p.columnList()
			})
		case s.AsOf == nil && p.takeWords("as", "of"):
			s.AsOf = p.expr()
		case s.UpTo == nil && p.takeWords("up", "to"):
			s.UpTo = p.expr()
		default:
			return s
		}
	}
}
