package mysql

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/internal/sqlerr"
)

// tableName names an upstream table.
type tableName struct{ schema, table string }

func (n tableName) String() string { return n.schema + "." + n.table }

// sql is the name as SQL.
func (n tableName) sql() string { return ident(n.schema) + "." + ident(n.table) }

// tableInfo is what information_schema says of a table.
type tableInfo struct {
	columns []column
	// keys are the primary key, and unique keys of columns that are NOT NULL, each with the name of its index.
	keys []uniqueKey
	// transactional: the engine reads in snapshots.
	transactional bool
	kind          string // BASE TABLE, VIEW …
	// filled lists the columns that give old rows a value when they are added: a default, NOT NULL, an expression.
	filled map[string]bool
	// cascades are foreign keys that change rows of the table.
	cascades []string
}

// uniqueKey is an index that tells rows apart.
type uniqueKey struct {
	Index   string   `json:"index"`
	Columns []string `json:"columns"`
}

// errNoTable says that a table is not there.
var errNoTable = sqlerr.New(sqlerr.UndefinedTable, "the table does not exist")

// describe reads what a table looks like now; errNoTable when it is not there.
func describe(ctx context.Context, c *wire.Conn, n tableName) (*tableInfo, error) {
	where := " WHERE table_schema = " + quote(n.schema) + " AND table_name = " + quote(n.table)
	rows, err := c.Rows(ctx, "SELECT t.table_type, e.transactions FROM information_schema.tables t LEFT JOIN information_schema.engines e "+
		"ON e.engine = t.engine"+strings.ReplaceAll(where, "table_", "t.table_"))
	if err != nil {
		return nil, fmt.Errorf("read about %s: %w", n, err)
	}
	if len(rows) == 0 {
		return nil, errNoTable
	}
	info := &tableInfo{kind: rows[0][0], transactional: rows[0][1] == "YES", filled: map[string]bool{}}
	rows, err = c.Rows(ctx, "SELECT column_name, column_type, character_set_name, is_nullable, "+
		"is_nullable = 'NO' OR COALESCE(column_default, 'NULL') <> 'NULL' OR extra LIKE '%GENERATED%' FROM information_schema.columns"+where+
		" ORDER BY ordinal_position")
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s: %w", n, err)
	}
	if len(rows) == 0 {
		return nil, sqlerr.New(sqlerr.InsufficientPrivilege, "the columns of the table %s of MySQL are not visible", n).
			WithHint("Grant SELECT on the table to the user.")
	}
	for _, r := range rows {
		col := column{Name: r[0], Decl: r[1], Charset: r[2], NotNull: r[3] == "NO"}
		col.parse()
		info.filled[strings.ToLower(col.Name)] = r[4] == "1"
		info.columns = append(info.columns, col)
	}
	if info.kind == "BASE TABLE" {
		rows, err := c.Rows(ctx, "SHOW CREATE TABLE "+n.sql())
		if err != nil {
			return nil, fmt.Errorf("read the definition of %s: %w", n, err)
		}
		info.readDefinition(rows[0][1])
	}
	// A key of prefixes, of expressions or with a NULL in it does not tell rows apart.
	rows, err = c.Rows(ctx, "SELECT index_name, column_name, sub_part, nullable FROM information_schema.statistics"+where+
		" AND non_unique = 0 ORDER BY index_name <> 'PRIMARY', index_name, seq_in_index")
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", n, err)
	}
	for i := 0; i < len(rows); {
		key, whole := uniqueKey{Index: rows[i][0]}, true
		for ; i < len(rows) && rows[i][0] == key.Index; i++ {
			whole = whole && rows[i][1] != "" && rows[i][2] == "" && rows[i][3] != "YES"
			key.Columns = append(key.Columns, rows[i][1])
		}
		if whole {
			info.keys = append(info.keys, key)
		}
	}
	return info, nil
}

var cascade = regexp.MustCompile(`ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)`)

// readDefinition takes from SHOW CREATE TABLE what information_schema does not show to everybody who may read the table: which foreign keys change
// rows, and which texts are JSON (that of MariaDB is a LONGTEXT with a constraint).
func (t *tableInfo) readDefinition(create string) {
	for line := range strings.Lines(create) {
		line = strings.TrimSpace(line)
		if name, rule, ok := strings.Cut(line, " FOREIGN KEY "); ok && strings.HasPrefix(line, "CONSTRAINT ") && cascade.MatchString(rule) {
			t.cascades = append(t.cascades, strings.TrimPrefix(name, "CONSTRAINT ")+": "+strings.Join(cascade.FindAllString(rule, -1), ", "))
		}
		for i := range t.columns {
			name := ident(t.columns[i].Name)
			if t.columns[i].base == "longtext" && strings.HasPrefix(line, name+" ") && strings.Contains(line, "json_valid("+name+")") {
				t.columns[i].JSON = true
			}
		}
	}
}

// key finds the key of the given columns, in any order; nil columns: the primary key, or else the first that there is. nil: none.
func (t *tableInfo) key(columns []string) *uniqueKey {
	for i, k := range t.keys {
		if columns == nil || sameNames(k.Columns, columns) {
			return &t.keys[i]
		}
	}
	return nil
}

func sameNames(a, b []string) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x string) bool {
		return !slices.ContainsFunc(b, func(y string) bool { return strings.EqualFold(x, y) })
	})
}

func indexOf(columns []column, name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return strings.EqualFold(c.Name, name) })
}
