package parser

// alter parses ALTER.
func (p *parser) alter() Stmt {
	p.advance()
	if p.takeWords("default", "privileges") {
		return p.alterDefaultPrivileges()
	}
	s := &AlterStmt{}
	if p.take("system") {
		s.Kind = ObjSystem
		s.Actions = []AlterAction{p.settingAction(ObjSystem)}
		return s
	}
	if s.Kind = p.objectKind(); s.Kind == "" {
		p.fail()
	}
	if s.Kind == ObjDomain {
		s.Name = p.qualifiedName()
		s.Actions = []AlterAction{p.domainAction()}
		return s
	}
	s.IfExists = p.ifExists()
	if s.Kind == ObjTable {
		s.Only = p.take("only")
	}
	n := p.objectName(s.Kind)
	s.Name, s.HasArgs, s.Args = n.Name, n.HasArgs, n.Args
	if s.Kind == ObjTable {
		p.takeOp("*")
	}
	a := p.alterAction(s.Kind)
	s.Actions = []AlterAction{a}
	for a.listable() && p.takePunct(",") {
		a = p.alterAction(s.Kind)
		if !a.listable() {
			p.fail()
		}
		s.Actions = append(s.Actions, a)
	}
	return s
}

// listable says whether the action may stand in a list with others.
func (a *AlterAction) listable() bool {
	switch a.Kind {
	case AlterAddAttribute, AlterDropAttribute, AlterAttributeType:
		return true
	case AlterAddColumn, AlterDropColumn, AlterColumnType, AlterSetDefault, AlterDropDefault, AlterSetNotNull,
		AlterDropNotNull, AlterAddConstraint, AlterDropConstraint, AlterSetOptions, AlterResetOptions, AlterOwner:
		return true
	}
	return false
}

// alterAction parses one action.
func (p *parser) alterAction(kind ObjectKind) AlterAction {
	a := AlterAction{Loc: p.loc()}
	switch {
	case kind == ObjType && p.isAny("add", "drop", "alter", "rename") && p.peek(1).isWord("attribute"):
		p.attributeAction(&a)
	case p.take("add"):
		p.alterAdd(&a, kind)
	case p.take("drop"):
		p.alterDrop(&a)
	case p.take("alter"):
		p.alterColumn(&a)
	case p.take("rename"):
		p.alterRename(&a, kind)
	case p.takeWords("owner", "to"):
		a.Kind, a.NewName = AlterOwner, p.role().Name
	case p.takeWords("set", "schema"):
		a.Kind, a.NewName = AlterSetSchema, p.colID().Name
	case p.is("set") && p.peek(1).isPunct("("):
		p.advance()
		a.Kind, a.Options = AlterSetOptions, p.options()
	case p.is("reset") && p.peek(1).isPunct("("):
		p.advance()
		a.Kind, a.Options = AlterResetOptions, p.options()
	case p.isAny("set", "reset"):
		return p.settingAction(kind)
	case p.takeWords("connector", "with"):
		a.Kind, a.Connector, a.Options = AlterSetOptions, true, p.options()
	default:
		p.alterWhole(&a, kind)
	}
	return a
}

// domainAction parses the action of ALTER DOMAIN.
func (p *parser) domainAction() AlterAction {
	a := AlterAction{Loc: p.loc()}
	switch {
	case p.takeWords("set", "schema"):
		a.Kind, a.NewName = AlterSetSchema, p.colID().Name
	case p.is("set"), p.isWords("drop", "default"), p.isWords("drop", "not"):
		p.nullOrDefault(&a)
	case p.take("add"):
		c := p.tableConstraint()
		c.NotValid = p.takeWords("not", "valid")
		a.Kind, a.Constraint = AlterAddConstraint, &c
	case p.takeWords("drop", "constraint"):
		a.Kind, a.IfExists = AlterDropConstraint, p.ifExists()
		a.Name, a.Behavior = p.colID().Name, p.dropBehavior()
	case p.takeWords("validate", "constraint"):
		a.Kind, a.Name = AlterValidate, p.colID().Name
	case p.take("rename"):
		p.alterRename(&a, ObjDomain)
	default:
		p.expect("owner", "to")
		a.Kind, a.NewName = AlterOwner, p.role().Name
	}
	return a
}

// nullOrDefault parses SET|DROP DEFAULT|NOT NULL.
func (p *parser) nullOrDefault(a *AlterAction) {
	switch {
	case p.takeWords("set", "default"):
		a.Kind, a.Expr = AlterSetDefault, p.expr()
	case p.takeWords("drop", "default"):
		a.Kind = AlterDropDefault
	case p.takeWords("set", "not", "null"):
		a.Kind = AlterSetNotNull
	case p.takeWords("drop", "not", "null"):
		a.Kind = AlterDropNotNull
	default:
		p.advance()
		p.fail()
	}
}

// attributeAction parses ADD, DROP, ALTER or RENAME ATTRIBUTE.
func (p *parser) attributeAction(a *AlterAction) {
	what := p.takeAny("add", "drop", "alter", "rename")
	p.expect("attribute")
	switch what {
	case "add":
		id := p.colID()
		a.Kind, a.Column = AlterAddAttribute, &ColumnDef{Loc: id.Loc, Name: id.Name, Type: p.typeName()}
		a.Column.Collation = p.optCollate()
	case "drop":
		a.Kind, a.IfExists = AlterDropAttribute, p.ifExists()
		a.Name = p.colID().Name
	case "alter":
		a.Kind, a.Name = AlterAttributeType, p.colID().Name
		p.takeWords("set", "data")
		p.expect("type")
		a.Type, a.Target = p.typeName(), p.optCollate()
	default:
		a.Kind, a.Name = AlterRenameAttribute, p.colID().Name
		p.expect("to")
		a.NewName = p.colID().Name
	}
	a.Behavior = p.dropBehavior()
}

// alterWhole parses the actions that concern the object as a whole.
func (p *parser) alterWhole(a *AlterAction, kind ObjectKind) {
	switch {
	case p.take("pause"):
		a.Kind = AlterPause
	case p.take("resume"):
		a.Kind = AlterResume
	case p.takeWords("swap", "with"):
		a.Kind, a.Target = AlterSwap, p.qualifiedName()
	case p.takeWords("refresh", "schema"):
		a.Kind = AlterRefreshSchema
	case p.is("format"):
		a.Kind, a.Format = AlterFormat, p.connectorFormat()
	case kind == ObjSecret:
		a.Kind, a.Options = AlterSecretValue, p.withOptions()
		p.expect("as")
		a.Text = p.stringLit()
	case p.take("as"):
		a.Kind, a.Query = AlterAsQuery, p.query()
	case kind.isRole():
		a.Kind = AlterRoleOptions
		p.take("with")
		a.RoleOptions = p.roleOptions()
	case kind == ObjFunction || kind == ObjRoutine:
		a.Kind, a.Function = AlterFunction, &CreateFunctionStmt{}
		if !p.functionProperty(a.Function) {
			p.fail()
		}
		for p.functionProperty(a.Function) {
		}
		p.take("restrict")
	case kind == ObjSequence:
		a.Kind = AlterSequence
		if a.Sequence = p.sequenceOptions(); a.Sequence == nil {
			p.fail()
		}
	default:
		p.fail()
	}
}

// hasColumns says whether columns of such an object can be added, dropped or renamed.
func (k ObjectKind) hasColumns() bool {
	switch k {
	case ObjTable, ObjView, ObjMatView, ObjSource, ObjSink, ObjIndex:
		return true
	}
	return false
}

func (p *parser) alterAdd(a *AlterAction, kind ObjectKind) {
	switch {
	case p.isWords("watermark", "for"):
		w := p.watermark()
		a.Kind, a.Watermark = AlterAddWatermark, &w
	case p.is("value") && (p.peek(1).kind == tokString || p.peek(1).isWord("if") && p.peek(2).isWord("not")):
		p.advance()
		a.Kind, a.IfNotExists, a.Text = AlterAddValue, p.ifNotExists(), p.stringLit()
		if a.Name = upper(p.takeAny("before", "after")); a.Name != "" {
			a.Text2 = p.stringLit()
		}
	case p.isAny("constraint", "primary", "unique", "check", "foreign"):
		c := p.tableConstraint()
		a.Kind, a.Constraint = AlterAddConstraint, &c
	default:
		if !kind.hasColumns() {
			p.fail()
		}
		p.take("column")
		a.Kind, a.IfNotExists = AlterAddColumn, p.ifNotExists()
		c := p.columnDef()
		a.Column = &c
	}
}

func (p *parser) alterDrop(a *AlterAction) {
	if p.is("connector") && (p.peek(1).kind == tokEOF || p.peek(1).isPunct(";")) {
		p.advance()
		a.Kind = AlterDropConnector
		return
	}
	a.Kind = AlterDropColumn
	if p.take("constraint") {
		a.Kind = AlterDropConstraint
	} else {
		p.take("column")
	}
	a.IfExists = p.ifExists()
	a.Name = p.colID().Name
	a.Behavior = p.dropBehavior()
}

// alterColumn parses ALTER [COLUMN] name ….
func (p *parser) alterColumn(a *AlterAction) {
	p.take("column")
	a.Name = p.colID().Name
	switch {
	case p.isWords("set", "default"), p.isWords("set", "not"), p.is("drop"):
		p.nullOrDefault(a)
	default:
		p.takeWords("set", "data")
		p.expect("type")
		a.Kind, a.Type = AlterColumnType, p.typeName()
		a.Target = p.optCollate()
		if p.take("using") {
			a.Expr = p.expr()
		}
	}
}

func (p *parser) alterRename(a *AlterAction, kind ObjectKind) {
	switch {
	case p.take("to"):
		a.Kind = AlterRename
		a.NewName = p.role().Name
		return
	case p.take("constraint"):
		a.Kind = AlterRenameConstr
	case p.is("value") && p.peek(1).kind == tokString:
		p.advance()
		a.Kind, a.Text = AlterRenameValue, p.stringLit()
		p.expect("to")
		a.Text2 = p.stringLit()
		return
	case !kind.hasColumns():
		p.fail()
	default:
		p.take("column")
		a.Kind = AlterRenameColumn
	}
	a.Name = p.colID().Name
	p.expect("to")
	a.NewName = p.colID().Name
}

// settingAction parses SET name TO|= values and RESET name|ALL.
func (p *parser) settingAction(kind ObjectKind) AlterAction {
	a := AlterAction{Loc: p.loc(), Kind: AlterSetParam}
	if p.take("reset") {
		a.Kind = AlterResetParam
		switch {
		case p.take("all"):
		case kind == ObjSource && (p.cur().kind == tokEOF || p.isPunct(";")):
			a.Kind = AlterReset
		default:
			a.Name = p.settingName()
		}
		return a
	}
	p.expect("set")
	a.Name = p.settingName()
	a.Values, a.Default = p.settingValues()
	a.Deferred = p.take("deferred")
	return a
}

// alterDefaultPrivileges parses what follows ALTER DEFAULT PRIVILEGES.
func (p *parser) alterDefaultPrivileges() Stmt {
	s := &AlterDefaultPrivilegesStmt{}
	for {
		switch {
		case p.takeWords("for", "role"), p.takeWords("for", "user"):
			s.ForRoles = p.roleList()
		case p.takeWords("in", "schema"):
			s.InSchemas = p.nameList()
		default:
			if !p.isAny("grant", "revoke") {
				p.fail()
			}
			s.Grant = p.grantBody(true)
			return s
		}
	}
}
