package parser

// createHead is what stands between CREATE and the kind of object.
type createHead struct {
	orReplace, temp, unlogged bool
}

// create parses CREATE.
func (p *parser) create() Stmt {
	p.advance()
	h := createHead{orReplace: p.takeWords("or", "replace")}
	if p.isAny("local", "global") && (p.peek(1).isWord("temp") || p.peek(1).isWord("temporary")) {
		p.advance()
	}
	h.temp = p.takeAny("temp", "temporary") != ""
	h.unlogged = !h.temp && p.take("unlogged")
	if h.temp || h.unlogged {
		if !p.isAny("table", "view", "recursive", "sequence", "source", "function") {
			p.fail()
		}
	}
	if h.orReplace && !p.isAny("table", "view", "recursive", "materialized", "source", "sink", "function", "procedure", "aggregate") {
		p.fail()
	}
	return p.createObject(h)
}

func (p *parser) createObject(h createHead) Stmt {
	w := p.cur().val
	if p.cur().kind != tokWord {
		p.fail()
	}
	switch w {
	case "table":
		return p.createTable(h)
	case "view", "recursive":
		return p.createView(h)
	case "materialized":
		return p.createMatView(h)
	case "source":
		return p.createSource(h)
	case "sink":
		return p.createSink(h)
	case "index", "unique":
		return p.createIndex()
	case "schema":
		return p.createSchema()
	case "database":
		return p.createDatabase()
	case "user", "role", "group":
		return p.createRole()
	case "secret":
		return p.createSecret()
	case "connection":
		return p.createConnection()
	case "subscription":
		return p.createSubscription()
	case "function", "procedure", "aggregate":
		return p.createFunction(h)
	case "type":
		return p.createType()
	case "domain":
		return p.createDomain()
	case "sequence":
		return p.createSequence(h)
	}
	p.fail()
	return nil
}

func (p *parser) createView(h createHead) Stmt {
	s := &CreateViewStmt{OrReplace: h.orReplace, Temp: h.temp, Recursive: p.take("recursive")}
	p.expect("view")
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	if s.Recursive {
		s.Columns = p.columnList()
	} else {
		s.Columns = p.optColumnList()
	}
	s.Options = p.withOptions()
	p.expect("as")
	s.Query = p.query()
	if p.take("with") {
		s.CheckOption = "CASCADED"
		if w := p.takeAny("cascaded", "local"); w != "" {
			s.CheckOption = upper(w)
		}
		p.expect("check", "option")
	}
	return s
}

func (p *parser) createMatView(h createHead) Stmt {
	s := &CreateMatViewStmt{OrReplace: h.orReplace}
	p.expect("materialized", "view")
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	s.Columns = p.optColumnList()
	s.Options = p.withOptions()
	p.expect("as")
	s.Query = p.query()
	s.EmitAt = p.loc()
	s.EmitOnWindowClose = p.emitOnWindowClose()
	s.NoData = p.withData()
	return s
}

// emitOnWindowClose consumes EMIT ON WINDOW CLOSE.
func (p *parser) emitOnWindowClose() bool { return p.takeWords("emit", "on", "window", "close") }

// withData consumes WITH [NO] DATA and says whether NO stood there.
func (p *parser) withData() (noData bool) {
	if p.takeWords("with", "no", "data") {
		return true
	}
	p.takeWords("with", "data")
	return false
}

func (p *parser) createIndex() Stmt {
	s := &CreateIndexStmt{Unique: p.take("unique")}
	p.expect("index")
	s.Concurrently = p.take("concurrently")
	s.IfNotExists = p.ifNotExists()
	if s.IfNotExists || !p.is("on") {
		s.Name = p.qualifiedName()
	}
	p.expect("on")
	s.Table = p.relation().Name
	if p.take("using") {
		s.Method = p.colID().Name
	}
	p.parens(func() { s.Elems = p.indexElems() })
	if p.take("include") {
		s.Include = p.columnList()
	}
	if p.takeWords("distributed", "by") {
		p.parens(func() { s.DistributedBy = p.exprList() })
	}
	s.NullsNotDistinct = p.nullsDistinct()
	s.Options = p.withOptions()
	if p.take("where") {
		s.Where = p.expr()
	}
	return s
}

// nullsDistinct consumes NULLS [NOT] DISTINCT and says whether NOT stood there.
func (p *parser) nullsDistinct() (not bool) {
	if p.takeWords("nulls", "not", "distinct") {
		return true
	}
	p.takeWords("nulls", "distinct")
	return false
}

func (p *parser) createSchema() Stmt {
	s := &CreateSchemaStmt{}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	if !p.is("authorization") {
		s.Name = p.qualifiedName()
	}
	if s.Name.IsZero() || p.is("authorization") {
		p.expect("authorization")
		s.Owner = p.role().Name
	}
	return s
}

func (p *parser) createDatabase() Stmt {
	s := &CreateDatabaseStmt{}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	p.take("with")
	for p.cur().kind == tokQuoted || p.isAny("connection", "encoding", "location", "owner", "tablespace", "template") ||
		p.cur().kind == tokWord && p.cur().cat == catNone {
		o := Option{Loc: p.loc(), Name: p.label().Name}
		if o.Name == "connection" && p.take("limit") {
			o.Name = "connection_limit"
		}
		p.takeOp("=")
		if p.is("default") {
			p.advance()
		} else {
			p.wordOrNumber(&o)
		}
		s.Options = append(s.Options, o)
	}
	return s
}

func (p *parser) createSecret() Stmt {
	s := &CreateSecretStmt{}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	s.Options = p.withOptions()
	p.expect("as")
	s.Value = p.stringLit()
	return s
}

func (p *parser) createConnection() Stmt {
	s := &CreateConnectionStmt{}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	s.Options = p.withOptions()
	return s
}

func (p *parser) createSubscription() Stmt {
	s := &CreateSubscriptionStmt{}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	p.expect("from")
	s.From = p.qualifiedName()
	s.Options = p.withOptions()
	return s
}

func (p *parser) createType() Stmt {
	s := &CreateTypeStmt{}
	p.advance()
	s.Name = p.qualifiedName()
	p.expect("as")
	if s.Enum = p.take("enum"); s.Enum {
		s.Labels = []string{}
		p.parens(func() {
			if !p.isPunct(")") {
				p.list(func() { s.Labels = append(s.Labels, p.stringLit()) })
			}
		})
		return s
	}
	p.parens(func() {
		if !p.isPunct(")") {
			p.list(func() { s.Fields = append(s.Fields, p.fieldDef()) })
		}
	})
	return s
}

func (p *parser) createDomain() Stmt {
	s := &CreateDomainStmt{}
	p.advance()
	s.Name = p.qualifiedName()
	p.take("as")
	c := ColumnDef{Type: p.typeName()}
	for p.columnConstraint(&c) {
	}
	s.Type, s.Collation, s.Constraints = c.Type, c.Collation, c.Constraints
	return s
}

func (p *parser) createSequence(h createHead) Stmt {
	s := &CreateSequenceStmt{Temp: h.temp}
	p.advance()
	s.IfNotExists = p.ifNotExists()
	s.Name = p.qualifiedName()
	s.Options = p.sequenceOptions()
	return s
}

// sequenceOptions parses the options of a sequence until something else stands here.
func (p *parser) sequenceOptions() []SequenceOption {
	var opts []SequenceOption
	for {
		o, ok := p.sequenceOption()
		if !ok {
			return opts
		}
		opts = append(opts, o)
	}
}

func (p *parser) sequenceOption() (SequenceOption, bool) {
	o := SequenceOption{Loc: p.loc()}
	w := p.takeAny("as", "increment", "minvalue", "maxvalue", "start", "restart", "cache", "cycle", "no", "owned", "sequence")
	o.Name = upper(w)
	switch w {
	case "":
		return o, false
	case "as":
		o.Type = p.simpleType(false)
	case "increment":
		p.take("by")
		o.Number = p.numberText()
	case "minvalue", "maxvalue", "cache":
		o.Number = p.numberText()
	case "start":
		p.take("with")
		o.Number = p.numberText()
	case "restart":
		if p.take("with") || p.cur().kind == tokInt || p.cur().kind == tokOp {
			o.Number = p.numberText()
		}
	case "no":
		what := p.takeAny("minvalue", "maxvalue", "cycle")
		if what == "" {
			p.fail()
		}
		o.Name = "NO " + upper(what)
	case "owned":
		p.expect("by")
		o.Name = "OWNED BY"
		o.Object = p.qualifiedName()
	case "sequence":
		p.expect("name")
		o.Name = "SEQUENCE NAME"
		o.Object = p.qualifiedName()
	}
	return o, true
}

// numberText consumes a signed number and returns its text.
func (p *parser) numberText() string {
	text, _ := Option{Value: p.signedNumber()}.Text()
	return text
}
