package parser

// begin parses BEGIN and START TRANSACTION.
func (p *parser) begin() Stmt {
	s := &TransactionStmt{Kind: TxnBegin}
	if p.take("start") {
		p.expect("transaction")
	} else {
		p.advance()
		p.takeAny("work", "transaction")
	}
	s.Modes = p.txnModes(false)
	return s
}

// endTxn parses COMMIT, END, ROLLBACK and ABORT.
func (p *parser) endTxn() Stmt {
	s := &TransactionStmt{Kind: TxnCommit}
	word := p.cur().val
	p.advance()
	if word == "rollback" || word == "abort" {
		s.Kind = TxnRollback
	}
	if (word == "commit" || word == "rollback") && p.take("prepared") {
		s.Kind = TxnCommitPrepared
		if word == "rollback" {
			s.Kind = TxnRollbackPrepared
		}
		s.Name = p.stringLit()
		return s
	}
	p.takeAny("work", "transaction")
	if word == "rollback" && p.take("to") {
		p.optWord("savepoint")
		s.Kind, s.Name = TxnRollbackTo, p.colID().Name
		return s
	}
	if p.take("and") {
		s.Chain = !p.take("no")
		p.expect("chain")
	}
	return s
}

func (p *parser) savepoint() Stmt {
	p.advance()
	return &TransactionStmt{Kind: TxnSavepoint, Name: p.colID().Name}
}

func (p *parser) release() Stmt {
	p.advance()
	p.optWord("savepoint")
	return &TransactionStmt{Kind: TxnRelease, Name: p.colID().Name}
}

// txnModes parses transaction modes, separated by commas or nothing.
func (p *parser) txnModes(required bool) TxnModes {
	var m TxnModes
	for n := 0; ; n++ {
		comma := n > 0 && p.takePunct(",")
		if !p.txnMode(&m) {
			if comma || required && n == 0 {
				p.fail()
			}
			return m
		}
	}
}

func (p *parser) txnMode(m *TxnModes) bool {
	switch {
	case p.take("isolation"):
		p.expect("level")
		m.Isolation = p.isolation()
	case p.take("read"):
		m.ReadOnly = boolPtr(p.is("only"))
		if p.takeAny("only", "write") == "" {
			p.fail()
		}
	case p.take("deferrable"):
		m.Deferrable = boolPtr(true)
	case p.takeWords("not", "deferrable"):
		m.Deferrable = boolPtr(false)
	default:
		return false
	}
	return true
}

func (p *parser) isolation() string {
	switch {
	case p.take("serializable"):
		return "SERIALIZABLE"
	case p.takeWords("repeatable", "read"):
		return "REPEATABLE READ"
	case p.takeWords("read", "committed"):
		return "READ COMMITTED"
	case p.takeWords("read", "uncommitted"):
		return "READ UNCOMMITTED"
	}
	p.fail()
	return ""
}

// set parses SET in all its forms.
func (p *parser) set() Stmt {
	p.advance()
	s := &SetStmt{}
	if next := p.peek(1); !next.isWord("to") && !next.isOp("=") && !next.isPunct(".") && !p.isWords("session", "authorization") && !p.isWords("session", "characteristics") {
		s.Local = p.takeAny("local", "session") == "local"
	}
	switch {
	case p.is("transaction") && !p.peek(1).isOp("=") && !p.peek(1).isWord("to"):
		p.advance()
		if p.take("snapshot") {
			return &TransactionStmt{Kind: TxnSetSnapshot, Name: p.stringLit()}
		}
		return &TransactionStmt{Kind: TxnSet, Modes: p.txnModes(true)}
	case p.takeWords("session", "characteristics"):
		p.expect("as", "transaction")
		return &TransactionStmt{Kind: TxnSetSession, Modes: p.txnModes(true)}
	}
	p.setRest(s)
	return s
}

// setRest parses the setting and its value; some settings have words of their own.
func (p *parser) setRest(s *SetStmt) {
	switch {
	case p.takeWords("time", "zone"):
		s.Name = "timezone"
		p.timeZoneValue(s)
	case p.takeWords("session", "authorization"):
		s.Name = "session_authorization"
		if s.Default = p.take("default"); !s.Default {
			s.Values = p.oneWord()
		}
	case p.is("role") && !p.peek(1).isWord("to") && !p.peek(1).isOp("="):
		p.advance()
		s.Name, s.Values = "role", p.oneWord()
	case p.is("schema") && p.peek(1).kind == tokString:
		p.advance()
		s.Name, s.Values = "search_path", p.oneWord()
	case p.is("names") && !p.peek(1).isWord("to") && !p.peek(1).isOp("="):
		p.advance()
		s.Name = "client_encoding"
		if s.Default = p.take("default") || p.cur().kind != tokString; !s.Default {
			s.Values = p.oneWord()
		}
	default:
		s.Name = p.settingName()
		if s.FromCurrent = p.takeWords("from", "current"); !s.FromCurrent {
			s.Values, s.Default = p.settingValues()
		}
	}
}

func (p *parser) oneWord() []Expr {
	loc := p.loc()
	return []Expr{&StringLit{loc, p.wordOrString()}}
}

// settingName parses name[.name].
func (p *parser) settingName() string {
	name := p.colID().Name
	for p.takePunct(".") {
		name += "." + p.colID().Name
	}
	return name
}

// settingValues parses TO|= value, … or TO|= DEFAULT.
func (p *parser) settingValues() (values []Expr, isDefault bool) {
	if !p.take("to") {
		p.expectOp("=")
	}
	if p.take("default") {
		return nil, true
	}
	p.list(func() { values = append(values, p.settingValue()) })
	return values, false
}

// settingValue parses a word, string or number.
func (p *parser) settingValue() Expr {
	t := p.cur()
	switch {
	case t.kind == tokString:
		return p.literal()
	case t.isWord("true") || t.isWord("false") || t.isWord("on") || t.canBe(isNonReserved):
		p.advance()
		return &StringLit{Loc{t.pos}, t.val}
	}
	return p.signedNumber()
}

// timeZoneValue parses what may follow SET TIME ZONE.
func (p *parser) timeZoneValue(s *SetStmt) {
	switch {
	case p.takeAny("local", "default") != "":
		s.Default = true
	case p.is("interval"):
		e := p.intervalLiteral()
		if e == nil {
			p.advance()
			p.fail()
		}
		s.Values = []Expr{e}
	case p.cur().kind == tokWord && p.cur().cat != catNone:
		p.fail()
	default:
		s.Values = []Expr{p.settingValue()}
	}
}

func (p *parser) reset() Stmt {
	p.advance()
	switch {
	case p.take("all"):
		return &ResetStmt{}
	case p.takeWords("time", "zone"):
		return &ResetStmt{Name: "timezone"}
	case p.takeWords("session", "authorization"):
		return &ResetStmt{Name: "session_authorization"}
	case p.takeWords("transaction", "isolation", "level"):
		return &ResetStmt{Name: "transaction_isolation"}
	}
	return &ResetStmt{Name: p.settingName()}
}

func (p *parser) prepare() Stmt {
	p.advance()
	if p.is("transaction") && p.peek(1).kind == tokString {
		p.advance()
		return &TransactionStmt{Kind: TxnPrepare, Name: p.stringLit()}
	}
	s := &PrepareStmt{Name: p.colID().Name}
	if p.isPunct("(") {
		p.parens(func() {
			p.list(func() { s.Types = append(s.Types, p.typeName()) })
		})
	}
	p.expect("as")
	s.Stmt = p.preparable()
	return s
}

func (p *parser) execute() Stmt {
	p.advance()
	s := &ExecuteStmt{Name: p.colID().Name}
	if p.isPunct("(") {
		p.parens(func() { s.Args = p.exprList() })
	}
	return s
}

func (p *parser) deallocate() Stmt {
	p.advance()
	p.optWord("prepare")
	if p.take("all") {
		return &DeallocateStmt{}
	}
	return &DeallocateStmt{Name: p.colID().Name}
}

func (p *parser) discard() Stmt {
	p.advance()
	what := p.takeAny("all", "plans", "sequences", "temp", "temporary")
	switch what {
	case "":
		p.fail()
	case "temporary":
		what = "temp"
	}
	return &DiscardStmt{What: upper(what)}
}

// do parses DO 'text' [LANGUAGE name], the two in any order.
func (p *parser) do() Stmt {
	p.advance()
	s := &DoStmt{}
	for p.cur().kind == tokString || p.is("language") {
		if p.take("language") {
			s.Language = p.wordOrString()
		} else {
			s.Body = p.stringLit()
		}
	}
	if s.Body == "" && s.Language == "" {
		p.fail()
	}
	return s
}

// lock parses LOCK [TABLE] a, b [IN mode MODE] [NOWAIT].
func (p *parser) lock() Stmt {
	s := &LockStmt{Mode: "ACCESS EXCLUSIVE"}
	p.advance()
	p.take("table")
	p.list(func() { s.Tables = append(s.Tables, p.relation().Name) })
	if p.take("in") {
		s.Mode = p.lockMode()
		p.expect("mode")
	}
	s.NoWait = p.take("nowait")
	return s
}

func (p *parser) lockMode() string {
	switch {
	case p.takeWords("access", "share"):
		return "ACCESS SHARE"
	case p.takeWords("access", "exclusive"):
		return "ACCESS EXCLUSIVE"
	case p.takeWords("row", "share"):
		return "ROW SHARE"
	case p.takeWords("row", "exclusive"):
		return "ROW EXCLUSIVE"
	case p.takeWords("share", "update", "exclusive"):
		return "SHARE UPDATE EXCLUSIVE"
	case p.takeWords("share", "row", "exclusive"):
		return "SHARE ROW EXCLUSIVE"
	case p.take("share"):
		return "SHARE"
	}
	p.expect("exclusive")
	return "EXCLUSIVE"
}

func (p *parser) listen() Stmt {
	p.advance()
	return &ListenStmt{Channel: p.colID().Name}
}

func (p *parser) unlisten() Stmt {
	p.advance()
	if p.takeOp("*") {
		return &UnlistenStmt{}
	}
	return &UnlistenStmt{Channel: p.colID().Name}
}

func (p *parser) notify() Stmt {
	p.advance()
	s := &NotifyStmt{Channel: p.colID().Name}
	if p.takePunct(",") {
		s.Payload = p.stringLit()
	}
	return s
}
