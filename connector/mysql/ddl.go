package mysql

import (
	"regexp"
	"slices"
	"strings"

	"github.com/pingcap/tidb/pkg/parser"
	"github.com/pingcap/tidb/pkg/parser/ast"
	"github.com/pingcap/tidb/pkg/parser/mysql"
	_ "github.com/pingcap/tidb/pkg/parser/test_driver" // the parser needs a type for its literals

	"github.com/millrace/millrace/connector/mysql/binlog"
)

// effectKind is what a statement in the log did to a table.
type effectKind int

const (
	effTruncate effectKind = iota
	effGone                // dropped, or renamed to something else
	effMade                // created, or something else was renamed to it
	effAlter
	effUnknown // altered, by a statement that we cannot read
	effWrite   // its rows were changed by a statement instead of an event of rows
)

// effect is what a statement in the log did to one table.
type effect struct {
	kind  effectKind
	table tableName
	specs []*ast.AlterTableSpec
	// ifNotExists: the statement did nothing when the table was there.
	ifNotExists bool
	// ignore: rows that are in the way of the change are gone (MariaDB's ALTER IGNORE).
	ignore bool
}

// statements reads the statements of a log.
type statements struct {
	parser *parser.Parser
	fold   bool
}

func newStatements(fold bool) *statements { return &statements{parser: parser.New(), fold: fold} }

// parse reads a statement, as either way to quote names has it.
func (s *statements) parse(sql string) ([]ast.StmtNode, error) {
	s.parser.SetSQLMode(mysql.ModeNone)
	list, _, err := s.parser.Parse(sql, "", "")
	if err != nil && strings.Contains(sql, `"`) {
		s.parser.SetSQLMode(mysql.ModeANSIQuotes)
		var again error
		if list, _, again = s.parser.Parse(sql, "", ""); again == nil {
			return list, nil
		}
	}
	return list, err
}

var (
	comments = regexp.MustCompile(`^(\s+|/\*([^!M]|M[^!])(?s:.*?)\*/|--[^\n]*\n|#[^\n]*\n)+`)
	// changesTables are the beginnings of statements that may change what a table looks like or which rows it has.
	changesTables = regexp.MustCompile(`(?i)^(SET\s+STATEMENT\s.*\sFOR\s+)?(ALTER\s+(ONLINE\s+|OFFLINE\s+|IGNORE\s+)*TABLE|CREATE\s+(OR\s+REPLACE\s+)?TABLE|` +
		`CREATE\s.*INDEX|DROP\s.*INDEX|DROP\s+TABLES?|RENAME\s+TABLES?|TRUNCATE|DROP\s+(DATABASE|SCHEMA))\b`)
	writesRows  = regexp.MustCompile(`(?i)^(SET\s+STATEMENT\s.*\sFOR\s+)?(INSERT|UPDATE|DELETE|REPLACE|LOAD|WITH|CALL)\b`)
	alterIgnore = regexp.MustCompile(`(?i)^(SET\s+STATEMENT\s.*\sFOR\s+)?ALTER\s+(ONLINE\s+|OFFLINE\s+)*IGNORE\b`)
)

// collapse leaves of what happened to each table what counts: when it came or went, only that, and the last of it.
func collapse(list []effect) []effect {
	var out []effect
	for i, e := range list {
		over := slices.ContainsFunc(list[i+1:], func(l effect) bool { return l.table == e.table && (l.kind == effGone || l.kind == effMade) })
		if !over {
			out = append(out, e)
		}
	}
	return out
}

// effects says what a statement did to tables. One that cannot be read may have changed those of the captured tables that it mentions.
func (s *statements) effects(q binlog.Query, captured []tableName) []effect {
	text := comments.ReplaceAllString(q.Text, "")
	ddl, dml := changesTables.MatchString(text), writesRows.MatchString(text)
	if !ddl && !dml {
		return nil
	}
	list, err := s.parse(text)
	if err != nil {
		kind := effUnknown
		if dml {
			kind = effWrite
		}
		return mentioned(text, q.Schema, kind, captured)
	}
	var out []effect
	name := func(n *ast.TableName) tableName { return s.name(n, q.Schema) }
	for _, stmt := range list {
		switch n := stmt.(type) {
		case *ast.TruncateTableStmt:
			out = append(out, effect{kind: effTruncate, table: name(n.Table)})
		case *ast.DropTableStmt:
			if n.TemporaryKeyword != ast.TemporaryNone {
				continue
			}
			for _, t := range n.Tables {
				out = append(out, effect{kind: effGone, table: name(t)})
			}
		case *ast.DropDatabaseStmt:
			for _, t := range captured {
				if t.schema == s.folded(n.Name.O) {
					out = append(out, effect{kind: effGone, table: t})
				}
			}
		case *ast.CreateTableStmt:
			if n.TemporaryKeyword == ast.TemporaryNone {
				out = append(out, effect{kind: effMade, table: name(n.Table), ifNotExists: n.IfNotExists})
			}
		case *ast.RenameTableStmt:
			for _, t := range n.TableToTables {
				out = append(out, effect{kind: effGone, table: name(t.OldTable)}, effect{kind: effMade, table: name(t.NewTable)})
			}
		case *ast.AlterTableStmt:
			t := name(n.Table)
			out = append(out, effect{kind: effAlter, table: t, specs: n.Specs, ignore: alterIgnore.MatchString(text)})
			for _, spec := range n.Specs {
				if spec.Tp == ast.AlterTableRenameTable && name(spec.NewTable) != t {
					out = append(out, effect{kind: effGone, table: t}, effect{kind: effMade, table: name(spec.NewTable)})
				}
			}
		case *ast.DropIndexStmt:
			out = append(out, effect{kind: effAlter, table: name(n.Table), specs: []*ast.AlterTableSpec{{Tp: ast.AlterTableDropIndex}}})
		case *ast.CreateIndexStmt: // more keys do no harm
		default:
			if dml {
				out = append(out, s.written(stmt, q.Schema)...)
			}
		}
	}
	return collapse(out)
}

func (s *statements) folded(name string) string {
	if s.fold {
		return strings.ToLower(name)
	}
	return name
}

func (s *statements) name(n *ast.TableName, schema string) tableName {
	if n.Schema.O != "" {
		schema = n.Schema.O
	}
	return tableName{s.folded(schema), s.folded(n.Name.O)}
}

// written finds the tables whose rows a statement changes. Which of several tables an UPDATE or DELETE changes is not looked into.
func (s *statements) written(stmt ast.StmtNode, schema string) []effect {
	var refs ast.Node
	switch n := stmt.(type) {
	case *ast.InsertStmt:
		refs = n.Table
	case *ast.UpdateStmt:
		refs = n.TableRefs
	case *ast.DeleteStmt:
		refs = n.TableRefs
	case *ast.LoadDataStmt:
		refs = n.Table
	default:
		refs = stmt
	}
	v := &tableVisitor{}
	refs.Accept(v)
	var out []effect
	for _, t := range v.found {
		out = append(out, effect{kind: effWrite, table: s.name(t, schema)})
	}
	return out
}

// tableVisitor collects the tables in a tree.
type tableVisitor struct{ found []*ast.TableName }

// Enter implements ast.Visitor.
func (v *tableVisitor) Enter(n ast.Node) (ast.Node, bool) {
	if t, ok := n.(*ast.TableName); ok {
		v.found = append(v.found, t)
	}
	return n, false
}

// Leave implements ast.Visitor.
func (v *tableVisitor) Leave(n ast.Node) (ast.Node, bool) { return n, true }

// mentioned lists the captured tables whose name is in a text, as a word.
func mentioned(text, schema string, kind effectKind, captured []tableName) []effect {
	lower := strings.ToLower(text)
	var out []effect
	for _, t := range captured {
		if !hasWord(lower, strings.ToLower(t.table)) {
			continue
		}
		if !strings.EqualFold(schema, t.schema) && !hasWord(lower, strings.ToLower(t.schema)) {
			continue
		}
		out = append(out, effect{kind: kind, table: t})
	}
	return out
}

func hasWord(text, word string) bool {
	inWord := func(b byte) bool {
		return b == '_' || b == '$' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 0x80
	}
	for at := 0; ; {
		i := strings.Index(text[at:], word)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(word)
		if (i == 0 || !inWord(text[i-1])) && (end == len(text) || !inWord(text[end])) {
			return true
		}
		at = i + 1
	}
}

// alter follows an ALTER TABLE: the names and the order of columns as the statement says, their types as information_schema has them (info; nil when
// the table is not there any more). ok is false when the statement does not fit the shape. keys tells whether keys were touched.
func (s *shape) alter(e *effect, info *tableInfo) (m *move, keys, ok bool) {
	m = &move{recopy: e.ignore, clear: e.ignore}
	for _, c := range s.Columns {
		m.next = append(m.next, nextColumn{column: c, from: c.Name})
	}
	for _, spec := range e.specs {
		switch spec.Tp {
		case ast.AlterTableAddColumns:
			at, valid := m.place(spec.Position)
			for _, def := range spec.NewColumns {
				name := def.Name.Name.O
				if m.index(name) >= 0 {
					if spec.IfNotExists {
						continue
					}
					return nil, false, false
				}
				if !valid {
					return nil, false, false
				}
				n := nextColumn{column: lookUp(info, name, column{Name: name})}
				n.filled = info != nil && info.filled[strings.ToLower(name)]
				m.next = slices.Insert(m.next, at, n)
				at++
			}
		case ast.AlterTableDropColumn:
			i := m.index(spec.OldColumnName.Name.O)
			if i < 0 {
				if spec.IfExists {
					continue
				}
				return nil, false, false
			}
			m.next = slices.Delete(m.next, i, i+1)
		case ast.AlterTableChangeColumn, ast.AlterTableModifyColumn:
			def := spec.NewColumns[0]
			old := def.Name.Name.O
			if spec.Tp == ast.AlterTableChangeColumn {
				old = spec.OldColumnName.Name.O
			}
			i := m.index(old)
			if i < 0 {
				if spec.IfExists {
					continue
				}
				return nil, false, false
			}
			n := m.next[i]
			n.column = lookUp(info, def.Name.Name.O, n.column)
			n.Name = def.Name.Name.O
			m.next[i] = n
			if spec.Position != nil && spec.Position.Tp != ast.ColumnPositionNone {
				m.next = slices.Delete(m.next, i, i+1)
				at, valid := m.place(spec.Position)
				if !valid {
					return nil, false, false
				}
				m.next = slices.Insert(m.next, at, n)
			}
		case ast.AlterTableRenameColumn:
			i := m.index(spec.OldColumnName.Name.O)
			if i < 0 {
				if spec.IfExists {
					continue
				}
				return nil, false, false
			}
			m.next[i].Name = spec.NewColumnName.Name.O
		case ast.AlterTableOption:
			m.convert(spec.Options, info)
		case ast.AlterTableDropPartition, ast.AlterTableTruncatePartition, ast.AlterTableExchangePartition,
			ast.AlterTableImportTablespace, ast.AlterTableImportPartitionTablespace, ast.AlterTableDiscardTablespace,
			ast.AlterTableDiscardPartitionTablespace:
			m.recopy, m.clear = true, true
		case ast.AlterTableAddConstraint, ast.AlterTableDropPrimaryKey, ast.AlterTableDropIndex, ast.AlterTableRenameIndex:
			keys = true
		}
	}
	return m, keys, true
}

func (m *move) index(name string) int {
	return slices.IndexFunc(m.next, func(n nextColumn) bool { return strings.EqualFold(n.Name, name) })
}

// place finds where FIRST or AFTER puts a column.
func (m *move) place(p *ast.ColumnPosition) (at int, ok bool) {
	switch {
	case p == nil || p.Tp == ast.ColumnPositionNone:
		return len(m.next), true
	case p.Tp == ast.ColumnPositionFirst:
		return 0, true
	}
	i := m.index(p.RelativeColumn.Name.O)
	return i + 1, i >= 0
}

// convert follows CONVERT TO CHARACTER SET.
func (m *move) convert(options []*ast.TableOption, info *tableInfo) {
	for _, o := range options {
		if o.Tp == ast.TableOptionCharset && o.UintValue == ast.TableOptionCharsetWithConvertTo {
			for i := range m.next {
				if m.next[i].Charset != "" {
					m.next[i].column = lookUp(info, m.next[i].Name, m.next[i].column)
				}
			}
		}
	}
}

// lookUp finds a column as it is now.
func lookUp(info *tableInfo, name string, def column) column {
	if info != nil {
		if i := indexOf(info.columns, name); i >= 0 {
			return info.columns[i]
		}
	}
	return def
}
