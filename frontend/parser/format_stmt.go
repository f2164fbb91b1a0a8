package parser

import (
	"strconv"
	"strings"
)

func (f *formatter) stmt(s Stmt) {
	switch s := s.(type) {
	case *SelectStmt:
		f.query(s.Query)
	case *InsertStmt:
		f.insert(s)
	case *UpdateStmt:
		f.update(s)
	case *DeleteStmt:
		f.delete(s)
	case *MergeStmt:
		f.merge(s)
	case *CopyStmt:
		f.copy(s)
	case *ExplainStmt:
		f.explain(s)
	case *PrepareStmt:
		f.prepare(s)
	case *DeclareStmt:
		f.declare(s)
	case *AlterStmt, *AlterDefaultPrivilegesStmt, *GrantStmt:
		f.change(s)
	case *DropStmt:
		f.drop(s)
	case *TruncateStmt:
		f.add("TRUNCATE ")
		f.names(s.Tables)
		f.addIf(s.Identity != "", " "+s.Identity+" IDENTITY")
		f.behavior(s.Behavior)
	case *CommentStmt:
		f.comment(s)
	default:
		if !f.createStmt(s) {
			f.sessionStmt(s)
		}
	}
}

func (f *formatter) insert(s *InsertStmt) {
	f.with(s.With)
	f.add("INSERT INTO ")
	f.name(s.Table)
	if s.Alias != "" {
		f.add(" AS ")
		f.ident(s.Alias)
	}
	if s.Columns != nil {
		f.add(" (")
		f.assignTargets(s.Columns)
		f.add(")")
	}
	f.addIf(s.Overriding != "", " OVERRIDING "+s.Overriding+" VALUE")
	f.add(" ")
	if s.Query != nil {
		f.query(s.Query)
	} else {
		f.add("DEFAULT VALUES")
	}
	if s.OnConflict != nil {
		f.onConflict(s.OnConflict)
	}
	f.returning(s.Returning)
}

func (f *formatter) assignTargets(cols []InsertColumn) {
	f.commas(len(cols), func(i int) {
		f.ident(cols[i].Name)
		for _, step := range cols[i].Path {
			if step.Field == "" {
				f.subscriptItem(step.Subscript)
				continue
			}
			f.add(".")
			f.ident(step.Field)
		}
	})
}

func (f *formatter) returning(list []Target) {
	if list != nil {
		f.add(" RETURNING ")
		f.targets(list)
	}
}

func (f *formatter) onConflict(c *OnConflict) {
	f.add(" ON CONFLICT")
	if c.Targets != nil {
		f.add(" (")
		f.indexElems(c.Targets)
		f.add(")")
		f.where(" WHERE ", c.TargetWhere)
	}
	if c.Constraint != "" {
		f.add(" ON CONSTRAINT ")
		f.ident(c.Constraint)
	}
	if c.Update == nil {
		f.add(" DO NOTHING")
		return
	}
	f.add(" DO UPDATE SET ")
	f.setClauses(c.Update)
	f.where(" WHERE ", c.Where)
}

func (f *formatter) setClauses(list []SetClause) {
	f.commas(len(list), func(i int) {
		s := list[i]
		f.addIf(s.Multi, "(")
		f.assignTargets(s.Columns)
		f.addIf(s.Multi, ")")
		f.add(" = ")
		f.expr(s.Value)
	})
}

func (f *formatter) writeTarget(only bool, table Name, alias string) {
	f.addIf(only, "ONLY ")
	f.name(table)
	if alias != "" {
		f.add(" AS ")
		f.ident(alias)
	}
}

func (f *formatter) update(s *UpdateStmt) {
	f.with(s.With)
	f.add("UPDATE ")
	f.writeTarget(s.Only, s.Table, s.Alias)
	f.add(" SET ")
	f.setClauses(s.Set)
	f.fromClause(" FROM ", s.From)
	f.where(" WHERE ", s.Where)
	f.returning(s.Returning)
}

func (f *formatter) delete(s *DeleteStmt) {
	f.with(s.With)
	f.add("DELETE FROM ")
	f.writeTarget(s.Only, s.Table, s.Alias)
	f.fromClause(" USING ", s.Using)
	f.where(" WHERE ", s.Where)
	f.returning(s.Returning)
}

func (f *formatter) merge(s *MergeStmt) {
	f.with(s.With)
	f.add("MERGE INTO ")
	f.writeTarget(s.Only, s.Table, s.Alias)
	f.fromClause(" USING ", []TableRef{s.Using})
	f.where(" ON ", s.On)
	for _, w := range s.Whens {
		f.addIf(w.Matched, " WHEN MATCHED")
		f.addIf(!w.Matched, " WHEN NOT MATCHED")
		f.where(" AND ", w.Cond)
		f.add(" THEN ")
		switch w.Action {
		case MergeNothing:
			f.add("DO NOTHING")
		case MergeUpdate:
			f.add("UPDATE SET ")
			f.setClauses(w.Set)
		case MergeDelete:
			f.add("DELETE")
		case MergeInsert:
			f.mergeInsert(w)
		}
	}
}

func (f *formatter) mergeInsert(w MergeWhen) {
	f.add("INSERT ")
	if w.Values == nil {
		f.add("DEFAULT VALUES")
		return
	}
	if w.Columns != nil {
		f.add("(")
		f.assignTargets(w.Columns)
		f.add(") ")
	}
	if w.Overriding != "" {
		f.add("OVERRIDING " + w.Overriding + " VALUE ")
	}
	f.add("VALUES (")
	f.exprs(w.Values)
	f.add(")")
}

func (f *formatter) indexElems(list []IndexElem) {
	f.commas(len(list), func(i int) {
		e := list[i]
		if c, ok := e.Expr.(*ColumnRef); ok && len(c.Parts) == 1 {
			f.ident(c.Parts[0])
		} else {
			f.parens(e.Expr)
		}
		f.collation(e.Collation)
		if !e.OpClass.IsZero() {
			f.add(" ")
			f.name(e.OpClass)
		}
		f.order(e.Desc, e.Nulls)
	})
}

func (f *formatter) copy(s *CopyStmt) {
	f.add("COPY ")
	if s.Table.IsZero() {
		f.add("(")
		if s.Subscribe != nil {
			f.subscribe(s.Subscribe)
		} else {
			f.queryOrStmt(s.Query, s.DML)
		}
		f.add(")")
	} else {
		f.name(s.Table)
		f.columns(s.Columns)
	}
	standard := "STDOUT"
	if s.From {
		f.add(" FROM ")
		standard = "STDIN"
	} else {
		f.add(" TO ")
	}
	f.addIf(s.Program, "PROGRAM ")
	if s.Program || s.File != "" {
		f.string(s.File)
	} else {
		f.add(standard)
	}
	if len(s.Options) > 0 {
		f.add(" WITH ")
		f.optionList(s.Options, " ")
	}
	f.where(" WHERE ", s.Where)
}

func (f *formatter) explain(s *ExplainStmt) {
	f.add("EXPLAIN ")
	if len(s.Options) > 0 {
		f.optionList(s.Options, " ")
		f.add(" ")
	}
	if s.Stmt != nil {
		f.stmt(s.Stmt)
		return
	}
	f.add(string(s.JobKind), " ")
	f.name(s.Job)
}

func (f *formatter) prepare(s *PrepareStmt) {
	f.add("PREPARE ")
	f.ident(s.Name)
	if s.Types != nil {
		f.add(" (")
		f.commas(len(s.Types), func(i int) { f.typeName(s.Types[i]) })
		f.add(")")
	}
	f.add(" AS ")
	f.stmt(s.Stmt)
}

func (f *formatter) declare(s *DeclareStmt) {
	f.add("DECLARE ")
	f.ident(s.Name)
	for _, o := range s.Options {
		f.add(" ", o)
	}
	f.addIf(s.IsSubscription, " SUBSCRIPTION")
	f.add(" CURSOR ")
	if s.Hold != nil {
		if *s.Hold {
			f.add("WITH HOLD ")
		} else {
			f.add("WITHOUT HOLD ")
		}
	}
	f.add("FOR ")
	switch {
	case s.Query != nil:
		f.query(s.Query)
		return
	case s.Subscribe != nil:
		f.subscribe(s.Subscribe)
		return
	}
	f.name(s.Subscription)
	f.where(" SINCE ", s.Since)
	f.addIf(s.Full, " FULL")
}

// withOptions writes WITH (…), unless no clause was written.
func (f *formatter) withOptions(opts []Option) {
	if opts != nil {
		f.add(" WITH ")
		f.optionList(opts, " = ")
	}
}

// optionList writes (name = value, …) with the given text between name and value.
func (f *formatter) optionList(opts []Option, between string) {
	f.add("(")
	f.commas(len(opts), func(i int) {
		f.add(optionName(opts[i].Name))
		if opts[i].Value != nil {
			f.add(between)
			f.optionValue(opts[i])
		}
	})
	f.add(")")
}

// optionName quotes the name of an option unless its dotted parts are plain labels.
func optionName(name string) string {
	for _, part := range strings.Split(name, ".") {
		if !plainIdent(part) {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

func (f *formatter) optionValue(o Option) {
	switch v := o.Value.(type) {
	case *StringLit:
		if o.Word {
			f.ident(v.Value)
			return
		}
	case *ArrayLit:
		f.add("(")
		f.commas(len(v.Elems), func(i int) { f.ident(v.Elems[i].(*StringLit).Value) })
		f.add(")")
		return
	}
	f.bare(o.Value)
}

func (f *formatter) behavior(b DropBehavior) {
	f.addIf(b == DropCascade, " CASCADE")
	f.addIf(b == DropRestrict, " RESTRICT")
}

func (f *formatter) drop(s *DropStmt) {
	f.add("DROP ", string(s.Kind), " ")
	f.addIf(s.Concurrently, "CONCURRENTLY ")
	f.addIf(s.IfExists, "IF EXISTS ")
	f.objects(s.Names)
	f.behavior(s.Behavior)
}

func (f *formatter) objects(names []DropName) {
	f.commas(len(names), func(i int) {
		f.name(names[i].Name)
		f.argTypes(names[i].HasArgs, names[i].Args)
	})
}

func (f *formatter) argTypes(has bool, args []FuncParam) {
	if has {
		f.params(args)
	}
}

func (f *formatter) params(params []FuncParam) {
	f.add("(")
	f.commas(len(params), func(i int) {
		p := params[i]
		f.addIf(p.Mode != "", p.Mode+" ")
		if p.Name != "" {
			f.ident(p.Name)
			f.add(" ")
		}
		f.typeName(p.Type)
		f.where(" DEFAULT ", p.Default)
	})
	f.add(")")
}

func (f *formatter) comment(s *CommentStmt) {
	f.add("COMMENT ON ", string(s.Kind), " ")
	f.name(s.Name)
	f.argTypes(s.HasArgs, s.Args)
	if !s.On.IsZero() {
		f.add(" ON ")
		f.addIf(s.OnType, "DOMAIN ")
		f.name(s.On)
	}
	f.add(" IS ")
	if s.Comment == nil {
		f.add("NULL")
		return
	}
	f.string(*s.Comment)
}

// sequenceOptions writes options separated by spaces.
func (f *formatter) sequenceOptions(opts []SequenceOption) {
	for i, o := range opts {
		f.addIf(i > 0, " ")
		f.add(o.Name)
		f.addIf(o.Number != "", " "+o.Number)
		if o.Type != nil {
			f.add(" ")
			f.typeName(o.Type)
		}
		if !o.Object.IsZero() {
			f.add(" ")
			f.name(o.Object)
		}
	}
}

func (f *formatter) roleOptions(opts []RoleOption) {
	for _, o := range opts {
		f.add(" ", o.Name)
		switch {
		case o.Value == nil:
			f.addIf(o.Name == "PASSWORD", " NULL")
		case o.Name == "CONNECTION LIMIT" || o.Name == "SYSID":
			f.add(" ", *o.Value)
		default:
			f.add(" ")
			f.string(*o.Value)
		}
		if o.Roles != nil {
			f.add(" ")
			f.idents(o.Roles)
		}
		if o.With != nil {
			f.add(" ")
			f.optionList(o.With, " = ")
		}
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
