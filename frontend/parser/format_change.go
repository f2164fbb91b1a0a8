package parser

import "strings"

// change writes ALTER, GRANT and REVOKE.
func (f *formatter) change(s Stmt) {
	switch s := s.(type) {
	case *AlterStmt:
		f.alter(s)
	case *GrantStmt:
		f.grant(s, false)
	case *AlterDefaultPrivilegesStmt:
		f.add("ALTER DEFAULT PRIVILEGES ")
		if s.ForRoles != nil {
			f.add("FOR ROLE ")
			f.idents(s.ForRoles)
			f.add(" ")
		}
		if s.InSchemas != nil {
			f.add("IN SCHEMA ")
			f.idents(s.InSchemas)
			f.add(" ")
		}
		f.grant(s.Grant, true)
	}
}

func (f *formatter) alter(s *AlterStmt) {
	f.add("ALTER ", string(s.Kind), " ")
	f.addIf(s.IfExists, "IF EXISTS ")
	f.addIf(s.Only, "ONLY ")
	if !s.Name.IsZero() {
		f.name(s.Name)
		f.argTypes(s.HasArgs, s.Args)
		f.add(" ")
	}
	f.commas(len(s.Actions), func(i int) { f.action(&s.Actions[i]) })
}

func (f *formatter) action(a *AlterAction) {
	switch a.Kind {
	case AlterAddColumn:
		f.add("ADD COLUMN ")
		f.addIf(a.IfNotExists, "IF NOT EXISTS ")
		f.columnDef(a.Column)
	case AlterAddConstraint:
		f.add("ADD ")
		f.tableConstraint(a.Constraint)
	case AlterAddWatermark:
		f.add("ADD ")
		f.watermark(a.Watermark)
	case AlterDropColumn, AlterDropConstraint:
		f.add("DROP ")
		f.addIf(a.Kind == AlterDropColumn, "COLUMN ")
		f.addIf(a.Kind == AlterDropConstraint, "CONSTRAINT ")
		f.addIf(a.IfExists, "IF EXISTS ")
		f.ident(a.Name)
		f.behavior(a.Behavior)
	case AlterColumnType, AlterSetDefault, AlterDropDefault, AlterSetNotNull, AlterDropNotNull:
		f.columnAction(a)
	case AlterRename, AlterRenameColumn, AlterRenameConstr, AlterOwner, AlterSetSchema:
		f.renameAction(a)
	case AlterAddAttribute, AlterDropAttribute, AlterAttributeType, AlterRenameAttribute:
		f.attributeAction(a)
	case AlterValidate:
		f.add("VALIDATE CONSTRAINT ")
		f.ident(a.Name)
	case AlterSetParam, AlterResetParam, AlterSetOptions, AlterResetOptions:
		f.settingAction(a)
	default:
		f.wholeAction(a)
	}
}

func (f *formatter) columnAction(a *AlterAction) {
	if a.Name != "" {
		f.add("ALTER COLUMN ")
		f.ident(a.Name)
		f.add(" ")
	}
	switch a.Kind {
	case AlterColumnType:
		f.add("TYPE ")
		f.typeName(a.Type)
		f.collation(a.Target)
		f.where(" USING ", a.Expr)
	case AlterSetDefault:
		f.where("SET DEFAULT ", a.Expr)
	case AlterDropDefault:
		f.add("DROP DEFAULT")
	case AlterSetNotNull:
		f.add("SET NOT NULL")
	case AlterDropNotNull:
		f.add("DROP NOT NULL")
	}
}

func (f *formatter) attributeAction(a *AlterAction) {
	switch a.Kind {
	case AlterAddAttribute:
		f.add("ADD ATTRIBUTE ")
		f.columnDef(a.Column)
	case AlterDropAttribute:
		f.add("DROP ATTRIBUTE ")
		f.addIf(a.IfExists, "IF EXISTS ")
		f.ident(a.Name)
	case AlterAttributeType:
		f.add("ALTER ATTRIBUTE ")
		f.ident(a.Name)
		f.add(" TYPE ")
		f.typeName(a.Type)
		f.collation(a.Target)
	case AlterRenameAttribute:
		f.add("RENAME ATTRIBUTE ")
		f.ident(a.Name)
		f.add(" TO ")
		f.ident(a.NewName)
	}
	f.behavior(a.Behavior)
}

func (f *formatter) renameAction(a *AlterAction) {
	switch a.Kind {
	case AlterRename:
		f.add("RENAME TO ")
	case AlterRenameColumn:
		f.add("RENAME COLUMN ")
		f.ident(a.Name)
		f.add(" TO ")
	case AlterRenameConstr:
		f.add("RENAME CONSTRAINT ")
		f.ident(a.Name)
		f.add(" TO ")
	case AlterOwner:
		f.add("OWNER TO ")
	case AlterSetSchema:
		f.add("SET SCHEMA ")
	}
	f.ident(a.NewName)
}

func (f *formatter) settingAction(a *AlterAction) {
	switch a.Kind {
	case AlterSetParam:
		f.add("SET ")
		f.settingName(a.Name)
		f.add(" TO ")
		f.settingValues(a.Values, a.Default)
		f.addIf(a.Deferred, " DEFERRED")
	case AlterResetParam:
		f.add("RESET ")
		if a.Name == "" {
			f.add("ALL")
		} else {
			f.settingName(a.Name)
		}
	case AlterSetOptions:
		if a.Connector {
			f.add("CONNECTOR WITH ")
		} else {
			f.add("SET ")
		}
		f.optionList(a.Options, " = ")
	case AlterResetOptions:
		f.add("RESET ")
		f.optionList(a.Options, " = ")
	}
}

// settingName writes the dotted name of a setting.
func (f *formatter) settingName(name string) {
	parts := strings.Split(name, ".")
	for _, part := range parts {
		if part == "" {
			parts = []string{name}
			break
		}
	}
	f.parts(parts)
}

func (f *formatter) settingValues(values []Expr, isDefault bool) {
	f.addIf(isDefault, "DEFAULT")
	f.exprs(values)
}

func (f *formatter) wholeAction(a *AlterAction) {
	switch a.Kind {
	case AlterPause:
		f.add("PAUSE")
	case AlterResume:
		f.add("RESUME")
	case AlterReset:
		f.add("RESET")
	case AlterRefreshSchema:
		f.add("REFRESH SCHEMA")
	case AlterDropConnector:
		f.add("DROP CONNECTOR")
	case AlterSwap:
		f.add("SWAP WITH ")
		f.name(a.Target)
	case AlterFormat:
		// connectorFormat begins with a space, as a clause does.
		f.connectorFormat(a.Format)
	case AlterAsQuery:
		f.add("AS ")
		f.query(a.Query)
	case AlterRoleOptions:
		f.add("WITH")
		f.roleOptions(a.RoleOptions)
	case AlterSecretValue:
		if a.Options != nil {
			f.add("WITH ")
			f.optionList(a.Options, " = ")
			f.add(" ")
		}
		f.add("AS ")
		f.string(a.Text)
	case AlterFunction:
		f.functionProperties(a.Function)
	case AlterSequence:
		f.sequenceOptions(a.Sequence)
	case AlterAddValue:
		f.add("ADD VALUE ")
		f.addIf(a.IfNotExists, "IF NOT EXISTS ")
		f.string(a.Text)
		if a.Name != "" {
			f.add(" ", a.Name, " ")
			f.string(a.Text2)
		}
	case AlterRenameValue:
		f.add("RENAME VALUE ")
		f.string(a.Text)
		f.add(" TO ")
		f.string(a.Text2)
	}
}

func (f *formatter) grant(s *GrantStmt, isDefault bool) {
	option := "GRANT OPTION"
	if s.RoleGrant {
		option = "ADMIN OPTION"
	}
	if s.Revoke {
		f.add("REVOKE ")
		f.addIf(s.WithGrant, option+" FOR ")
	} else {
		f.add("GRANT ")
	}
	f.commas(len(s.Privileges), func(i int) {
		f.privilege(s.Privileges[i], s.RoleGrant)
	})
	if !s.RoleGrant {
		f.add(" ON ")
		f.grantObjects(s, isDefault)
	}
	if s.Revoke {
		f.add(" FROM ")
	} else {
		f.add(" TO ")
	}
	f.idents(s.Grantees)
	f.addIf(s.WithGrant && !s.Revoke, " WITH "+option)
	if s.GrantedBy != "" {
		f.add(" GRANTED BY ")
		f.ident(s.GrantedBy)
	}
	f.behavior(s.Behavior)
}

func (f *formatter) privilege(p Privilege, isRole bool) {
	word := strings.ToLower(p.Name)
	switch {
	case isRole:
		f.ident(p.Name)
	case p.Name == "ALL", word == "select", word == "references", word == "create", plainIdent(word) && !needsQuotes(keywords[word].cat):
		f.add(p.Name)
	default:
		f.ident(word)
	}
	f.columns(p.Columns)
}

func (f *formatter) grantObjects(s *GrantStmt, isDefault bool) {
	if !isDefault && !s.AllInSchema {
		f.add(string(s.ObjectKind), " ")
		f.objects(s.Objects)
		return
	}
	f.addIf(!isDefault, "ALL ")
	f.add(string(s.ObjectKind), "S")
	if !isDefault {
		f.add(" IN SCHEMA ")
		f.objects(s.Objects)
	}
}
