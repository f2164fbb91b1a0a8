package parser

// statement parses one statement and records where it stands.
func (p *parser) statement() Stmt {
	p.enter()
	defer p.leave()
	p.peak = 0
	start := p.cur().pos
	s := p.dispatch()
	p.checkInto()
	src := s.Src()
	src.Pos = start
	src.End = p.tokens[p.i-1].end
	src.Text = p.sql[start:src.End]
	return s
}

// dispatch calls the statement's own function by its first word.
func (p *parser) dispatch() Stmt {
	t := p.cur()
	if t.isPunct("(") {
		return p.tableOf(p.query())
	}
	if t.kind != tokWord {
		p.fail()
	}
	parse := statementParser(t.val)
	if parse == nil {
		p.fail()
	}
	return parse(p)
}

// statementParser returns the parser of the statements that begin with that word, which it finds still
// unread; nil if there are none.
func statementParser(word string) func(*parser) Stmt {
	switch word {
	case "select", "values", "table":
		return (*parser).selectStmt
	case "with":
		return (*parser).withStmt
	case "insert":
		return func(p *parser) Stmt { return p.insert(nil) }
	case "update":
		return func(p *parser) Stmt { return p.update(nil) }
	case "delete":
		return func(p *parser) Stmt { return p.delete(nil) }
	case "merge":
		return func(p *parser) Stmt { return p.merge(nil) }
	case "create":
		return (*parser).create
	case "alter":
		return (*parser).alter
	case "drop":
		return (*parser).drop
	case "truncate":
		return (*parser).truncate
	case "comment":
		return (*parser).comment
	case "grant", "revoke":
		return (*parser).grant
	case "copy":
		return (*parser).copy
	case "explain":
		return (*parser).explain
	}
	return sessionParser(word)
}

// sessionParser is statementParser for what does not read or define data.
func sessionParser(word string) func(*parser) Stmt {
	switch word {
	case "begin", "start":
		return (*parser).begin
	case "commit", "end", "rollback", "abort":
		return (*parser).endTxn
	case "savepoint":
		return (*parser).savepoint
	case "release":
		return (*parser).release
	case "set":
		return (*parser).set
	case "reset":
		return (*parser).reset
	case "show":
		return (*parser).show
	case "describe", "desc":
		return (*parser).describe
	case "prepare":
		return (*parser).prepare
	case "execute":
		return (*parser).execute
	case "deallocate":
		return (*parser).deallocate
	case "declare":
		return (*parser).declare
	case "fetch", "move":
		return (*parser).fetch
	case "close":
		return (*parser).closeCursor
	case "subscribe":
		return (*parser).subscribe
	case "discard":
		return (*parser).discard
	case "do":
		return (*parser).do
	case "lock":
		return (*parser).lock
	case "listen":
		return (*parser).listen
	case "unlisten":
		return (*parser).unlisten
	case "notify":
		return (*parser).notify
	}
	return operationsParser(word)
}

// operationsParser is statementParser for the statements that operate the server.
func operationsParser(word string) func(*parser) Stmt {
	switch word {
	case "flush":
		return (*parser).flush
	case "wait":
		return (*parser).wait
	case "recover":
		return (*parser).recoverCluster
	case "checkpoint":
		return (*parser).checkpoint
	case "verify":
		return (*parser).verify
	case "cancel":
		return (*parser).cancelJobs
	case "kill":
		return (*parser).kill
	case "use":
		return (*parser).use
	case "analyze", "analyse":
		return (*parser).analyze
	case "vacuum":
		return (*parser).vacuum
	}
	return nil
}

// preparables begin the statements that PREPARE, EXPLAIN, COPY and WITH take.
var preparables = map[string]bool{
	"select": true, "values": true, "table": true, "with": true, "insert": true, "update": true, "delete": true, "merge": true,
}

// preparable parses a query, INSERT, UPDATE or DELETE.
func (p *parser) preparable() Stmt {
	if !p.isPunct("(") && (p.cur().kind != tokWord || !preparables[p.cur().val]) {
		p.fail()
	}
	return p.nested(p.dispatch)
}

// nested parses a statement inside another, keeping the height measured so far.
func (p *parser) nested(parse func() Stmt) Stmt {
	p.enter()
	outer := p.open()
	start := p.cur().pos
	s := parse()
	src := s.Src()
	src.Pos, src.End = start, p.tokens[p.i-1].end
	src.Text = p.sql[start:src.End]
	p.closeHeight(outer)
	p.leave()
	return s
}

func (p *parser) selectStmt() Stmt { return p.tableOf(p.query()) }

// withStmt parses WITH … and the query, INSERT, UPDATE or DELETE that it belongs to.
func (p *parser) withStmt() Stmt {
	loc := p.loc()
	with := p.optWith()
	switch {
	case p.is("insert"):
		return p.insert(with)
	case p.is("update"):
		return p.update(with)
	case p.is("delete"):
		return p.delete(with)
	case p.is("merge"):
		return p.merge(with)
	}
	outer := p.open()
	q := p.queryBody(loc, with, p.queryOperand())
	p.closeHeight(outer)
	return p.tableOf(q)
}

// explain parses EXPLAIN.
func (p *parser) explain() Stmt {
	s := &ExplainStmt{}
	p.advance()
	if p.isPunct("(") && !p.parensLeadToQuery() {
		s.Options = p.explainOptions()
	} else {
		s.Options = p.explainWords()
	}
	if kind := p.explainJob(); kind != "" {
		s.JobKind = kind
		s.Job = p.qualifiedName()
		return s
	}
	if p.isAny("create", "declare", "execute") {
		s.Stmt = p.nested(p.dispatch)
		return s
	}
	s.Stmt = p.preparable()
	return s
}

// explainWords parses the options without parentheses: [ANALYZE] [VERBOSE].
func (p *parser) explainWords() []Option {
	var opts []Option
	for _, words := range [][2]string{{"analyze", "analyse"}, {"verbose", "verbose"}} {
		loc := p.loc()
		if p.takeAny(words[0], words[1]) != "" {
			opts = append(opts, Option{Loc: loc, Name: words[0]})
		}
	}
	return opts
}

// explainJob consumes the words that announce a running job.
func (p *parser) explainJob() ObjectKind {
	switch {
	case p.takeWords("materialized", "view"):
		return ObjMatView
	case p.take("sink"):
		return ObjSink
	case p.take("index"):
		return ObjIndex
	case p.take("source"):
		return ObjSource
	}
	return ""
}

// explainOptions parses (name [value], …).
func (p *parser) explainOptions() []Option {
	var opts []Option
	p.parens(func() {
		p.list(func() {
			id := p.explainOptionName()
			o := Option{Loc: id.Loc, Name: id.Name}
			if id.Name == "analyse" {
				o.Name = "analyze"
			}
			if !p.isPunct(",") && !p.isPunct(")") {
				p.wordOrNumber(&o)
			}
			opts = append(opts, o)
		})
	})
	return opts
}

// explainOptionName consumes a non-reserved word, or ANALYZE.
func (p *parser) explainOptionName() Ident {
	if p.isAny("analyze", "analyse") {
		return p.label()
	}
	return p.nameOf(isNonReserved)
}

// wordOrNumber parses a string, bare word, boolean or number as the value of an option.
func (p *parser) wordOrNumber(o *Option) {
	t := p.cur()
	switch {
	case t.kind == tokString:
		o.Value = p.literal()
	case t.isWord("true") || t.isWord("false"):
		p.advance()
		o.Value = &BoolLit{Loc{t.pos}, t.val == "true"}
	case t.isWord("on") || t.canBe(isNonReserved):
		p.advance()
		o.Value = &StringLit{Loc{t.pos}, t.val}
		o.Word = true
	default:
		o.Value = p.signedNumber()
	}
}

// withOptions parses WITH (name = value, …) if WITH and a parenthesis stand here.
func (p *parser) withOptions() []Option {
	if !p.is("with") || !p.peek(1).isPunct("(") {
		return nil
	}
	p.advance()
	return p.options()
}

// options parses (name = value, …); () is allowed.
func (p *parser) options() []Option {
	opts := []Option{}
	p.parens(func() {
		if !p.isPunct(")") {
			p.list(func() { opts = append(opts, p.option()) })
		}
	})
	return opts
}

// option parses name[.name…] [= value].
func (p *parser) option() Option {
	o := Option{Loc: p.loc(), Name: p.label().Name}
	for p.takePunct(".") {
		o.Name += "." + p.label().Name
	}
	if !p.takeOp("=") {
		return o
	}
	p.optionValue(&o)
	return o
}

func (p *parser) optionValue(o *Option) {
	loc := p.loc()
	if p.is("secret") && !p.peek(1).isPunct(",") && !p.peek(1).isPunct(")") {
		p.advance()
		o.Value = &SecretRef{loc, p.qualifiedName(), p.takeWords("as", "file")}
		return
	}
	p.wordOrNumber(o)
	if word, ok := o.Value.(*StringLit); ok && o.Word {
		for p.takePunct(".") {
			word.Value += "." + p.label().Name
		}
	}
}
