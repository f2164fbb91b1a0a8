package session

import (
	"github.com/millrace/millrace/frontend/parser"
	"github.com/millrace/millrace/internal/catalog"
)

// Statements are shown to others than those who wrote them: by SHOW CREATE, in pg_stat_activity, in the log. What
// only their writer may know is left out of them here.

// optionLists are the options of a statement that a connector reads.
func optionLists(st parser.Stmt) [][]parser.Option {
	with := func(opts []parser.Option, f *parser.ConnectorFormat) [][]parser.Option {
		if f == nil {
			return [][]parser.Option{opts}
		}
		return [][]parser.Option{opts, f.Options, f.KeyOptions}
	}
	switch x := st.(type) {
	case *parser.CreateTableStmt:
		return with(x.Options, x.Format)
	case *parser.CreateSourceStmt:
		return with(x.Options, x.Format)
	case *parser.CreateSinkStmt:
		return with(x.Options, x.Format)
	case *parser.CreateConnectionStmt:
		return with(x.Options, nil)
	case *parser.AlterStmt:
		var out [][]parser.Option
		for _, a := range x.Actions {
			out = append(out, with(a.Options, a.Format)...)
		}
		return out
	}
	return nil
}

// hideOptions puts catalog.Hidden in the place of passwords, and reports whether there were any.
func hideOptions(st parser.Stmt) (any bool) {
	for _, opts := range optionLists(st) {
		for i := range opts {
			text, ok := opts[i].Text()
			if shown := catalog.ShownOption(opts[i].Name, text); ok && shown != text {
				opts[i].Value, opts[i].Word = &parser.StringLit{Value: shown}, false
				any = true
			}
		}
	}
	return any
}

// nameSecrets gives references to secrets and connections the names that those have now.
func nameSecrets(st parser.Stmt, snap *catalog.Snapshot, r *catalog.Relation) {
	if r.Connector == nil {
		return
	}
	for i, opts := range optionLists(st) {
		refs, prefix := r.Connector.Secrets, ""
		if i > 0 {
			refs = r.Connector.FormatSecrets
		}
		if i == 2 {
			prefix = "key."
		}
		for k, o := range opts {
			conn := r.Connector.Connection
			if i > 0 {
				conn = r.Connector.FormatConnection
			}
			if x := snap.Relations[conn]; o.Name == "connection" && x != nil {
				opts[k].Value, opts[k].Word = &parser.StringLit{Value: parser.QuoteName(parser.Name{Parts: []string{x.Schema, x.Name}})}, false
			}
			ref, ok := o.Value.(*parser.SecretRef)
			if x := snap.Secrets[refs[prefix+o.Name].ID]; ok && x != nil {
				ref.Name.Parts = []string{x.Schema, x.Name}
			}
		}
	}
}

// shown is a statement's text for the eyes of others.
func shown(st parser.Stmt) string {
	text := st.Src().Text
	switch x := st.(type) {
	case *parser.CreateSecretStmt, *parser.CreateRoleStmt:
	case *parser.AlterStmt:
		if x.Kind != parser.ObjSecret && x.Kind != parser.ObjUser && x.Kind != parser.ObjRole && len(optionLists(st)) == 0 {
			return text
		}
	default:
		if optionLists(st) == nil {
			return text
		}
	}
	// A copy: the statement itself is still to be run.
	again, err := parser.ParseOne(text)
	if err != nil {
		return text
	}
	any := hideOptions(again)
	switch x := again.(type) {
	case *parser.CreateSecretStmt:
		x.Value, any = catalog.Hidden, true
	case *parser.CreateRoleStmt:
		any = hideRole(x.Options) || any
	case *parser.AlterStmt:
		for i := range x.Actions {
			a := &x.Actions[i]
			if a.Kind == parser.AlterSecretValue {
				a.Text, any = catalog.Hidden, true
			}
			any = hideRole(a.RoleOptions) || any
		}
	}
	if !any {
		return text
	}
	return parser.Format(again)
}

// hideRole hides the passwords among the options of a user.
func hideRole(opts []parser.RoleOption) (any bool) {
	hidden := catalog.Hidden
	for i := range opts {
		if (opts[i].Name == "PASSWORD" || opts[i].Name == "ENCRYPTED PASSWORD") && opts[i].Value != nil {
			opts[i].Value, any = &hidden, true
		}
	}
	return any
}
