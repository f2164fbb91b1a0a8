package sqlclient

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// ask runs a query of our own and returns its result.
func (c *client) ask(ctx context.Context, sql string) (*table, error) {
	stop := c.watchInterrupts(ctx)
	defer stop()
	var t *table
	results := c.conn.Exec(ctx, sql)
	for results.NextResult() {
		t, _, _ = readResult(results.ResultReader()) // Close has the error
	}
	if err := results.Close(); err != nil {
		return nil, c.failed(err, sql)
	}
	if t == nil {
		t = &table{}
	}
	return t, nil
}

// list prints the result of a query of our own under a title.
func (c *client) list(ctx context.Context, title, sql string) error {
	t, err := c.ask(ctx, sql)
	if err != nil {
		return err
	}
	t.title, t.count = title, true
	t.right = nil
	t.print(c.out, c.expanded)
	return nil
}

// literal quotes s as an SQL string.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// pattern is a name pattern of psql: * and ? as in a shell, a schema before a dot, quotes for what is
// to be taken as it is.
type pattern struct{ schema, name string } // regular expressions; "" matches all

// parsePattern reads a pattern.
func parsePattern(text string) pattern {
	var parts []string
	var b strings.Builder
	quoted := false
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
			b.WriteString(regexp.QuoteMeta(string(r)))
		case r == '.':
			parts = append(parts, b.String())
			b.Reset()
		case r == '*':
			b.WriteString(".*")
		case r == '?':
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(strings.ToLower(string(r))))
		}
	}
	p := pattern{name: b.String()}
	if n := len(parts); n > 0 {
		p.schema = parts[n-1]
	}
	return p
}

// where is the condition for rows whose schema and name are in the given columns. visible is what holds of
// those that need no schema.
func (p pattern) where(schemaColumn, nameColumn, visible string) string {
	var conds []string
	if p.name != "" {
		conds = append(conds, fmt.Sprintf("%s ~ %s", nameColumn, literal("^("+p.name+")$")))
	}
	switch {
	case p.schema != "" && schemaColumn != "":
		conds = append(conds, fmt.Sprintf("%s ~ %s", schemaColumn, literal("^("+p.schema+")$")))
	case visible != "":
		conds = append(conds, visible)
	}
	if p.name == "" && p.schema == "" && schemaColumn != "" {
		conds = append(conds, schemaColumn+" NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'rw_catalog')")
	}
	if len(conds) == 0 {
		return "true"
	}
	return strings.Join(conds, " AND ")
}

// relkinds names pg_class.relkind, in SQL and for titles.
var relkinds = []struct{ kind, name, title string }{
	{"r", "table", "Table"}, {"p", "partitioned table", "Partitioned table"}, {"v", "view", "View"},
	{"m", "materialized view", "Materialized view"}, {"i", "index", "Index"}, {"S", "sequence", "Sequence"},
	{"f", "foreign table", "Foreign table"},
}

// relationsQuery lists the relations of some kinds that p matches.
func relationsQuery(p pattern, kinds ...string) string {
	var cases, in strings.Builder
	for _, k := range relkinds {
		fmt.Fprintf(&cases, " WHEN %s THEN %s", literal(k.kind), literal(k.name))
	}
	for i, k := range kinds {
		if i > 0 {
			in.WriteString(", ")
		}
		in.WriteString(literal(k))
	}
	return fmt.Sprintf(`SELECT n.nspname AS "Schema", c.relname AS "Name", CASE c.relkind%s END AS "Type",
	pg_catalog.pg_get_userbyid(c.relowner) AS "Owner"
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN (%s) AND %s
ORDER BY 1, 2`, cases.String(), in.String(), p.where("n.nspname", "c.relname", "pg_catalog.pg_table_is_visible(c.oid)"))
}

// listRelations is the command that lists relations of some kinds.
func listRelations(kinds ...string) func(*client, context.Context, string) error {
	return func(c *client, ctx context.Context, arg string) error {
		t, err := c.ask(ctx, relationsQuery(parsePattern(arg), kinds...))
		if err != nil {
			return err
		}
		if len(t.rows) == 0 {
			if arg == "" {
				c.say("Did not find any relations.\n")
			} else {
				c.say("Did not find any relation named %q.\n", arg)
			}
			return nil
		}
		t.title, t.count = "List of relations", true
		t.print(c.out, c.expanded)
		return nil
	}
}

// describe lists all relations, or shows the columns of those that arg matches.
func (c *client) describe(ctx context.Context, arg string) error {
	if arg == "" {
		return listRelations("r", "p", "v", "m", "S", "f")(c, ctx, "")
	}
	r, err := c.ask(ctx, fmt.Sprintf(`SELECT c.oid, n.nspname, c.relname, c.relkind
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE %s ORDER BY 2, 3`, parsePattern(arg).where("n.nspname", "c.relname", "pg_catalog.pg_table_is_visible(c.oid)")))
	if err != nil {
		return err
	}
	if len(r.rows) == 0 {
		c.say("Did not find any relation named %q.\n", arg)
		return errTold
	}
	for _, row := range r.rows {
		if err := c.describeOne(ctx, string(row[0]), string(row[1])+"."+string(row[2]), string(row[3])); err != nil {
			return err
		}
	}
	return nil
}

// describeOne shows the columns and indexes of the relation with an OID.
func (c *client) describeOne(ctx context.Context, oid, name, kind string) error {
	t, err := c.ask(ctx, fmt.Sprintf(`SELECT a.attname AS "Column", pg_catalog.format_type(a.atttypid, a.atttypmod) AS "Type",
	CASE WHEN a.attnotnull THEN 'not null' ELSE '' END AS "Nullable",
	pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS "Default"
FROM pg_catalog.pg_attribute a
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum`, oid))
	if err != nil {
		return err
	}
	t.title = fmt.Sprintf("Relation %q", name)
	for _, k := range relkinds {
		if k.kind == kind {
			t.title = fmt.Sprintf("%s %q", k.title, name)
		}
	}
	if kind == "i" {
		t.columns = t.columns[:2]
		for i := range t.rows {
			t.rows[i] = t.rows[i][:2]
		}
	} else if t.footer, err = c.indexes(ctx, oid); err != nil {
		return err
	}
	t.print(c.out, c.expanded)
	return nil
}

// indexes lists the indexes of a relation, as lines.
func (c *client) indexes(ctx context.Context, oid string) ([]string, error) {
	r, err := c.ask(ctx, fmt.Sprintf(`SELECT c.relname, i.indisprimary, i.indisunique, pg_catalog.pg_get_indexdef(i.indexrelid)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s
ORDER BY i.indisprimary DESC, c.relname`, oid))
	if err != nil || len(r.rows) == 0 {
		return nil, err
	}
	lines := []string{"Indexes:"}
	for _, row := range r.rows {
		what := ""
		switch {
		case string(row[1]) == "t":
			what = " PRIMARY KEY,"
		case string(row[2]) == "t":
			what = " UNIQUE,"
		}
		def := string(row[3])
		if _, after, ok := strings.Cut(def, " USING "); ok {
			def = after
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("    %q%s %s", row[0], what, def), " ,"))
	}
	return lines, nil
}

func (c *client) listSchemas(ctx context.Context, arg string) error {
	return c.list(ctx, "List of schemas", `SELECT n.nspname AS "Name", pg_catalog.pg_get_userbyid(n.nspowner) AS "Owner"
FROM pg_catalog.pg_namespace n
WHERE `+orElse(arg, parsePattern(arg).where("", "n.nspname", ""), "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'")+`
ORDER BY 1`)
}

// orElse is one condition where there is a pattern, another where there is none.
func orElse(arg, with, without string) string {
	if arg == "" {
		return without
	}
	return with
}

func (c *client) listFunctions(ctx context.Context, arg string) error {
	return c.list(ctx, "List of functions", `SELECT n.nspname AS "Schema", p.proname AS "Name",
	pg_catalog.pg_get_function_result(p.oid) AS "Result data type",
	pg_catalog.pg_get_function_arguments(p.oid) AS "Argument data types",
	CASE p.prokind WHEN 'a' THEN 'agg' WHEN 'w' THEN 'window' WHEN 'p' THEN 'proc' ELSE 'func' END AS "Type"
FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE `+parsePattern(arg).where("n.nspname", "p.proname", "pg_catalog.pg_function_is_visible(p.oid)")+`
ORDER BY 1, 2, 4`)
}

func (c *client) listRoles(ctx context.Context, arg string) error {
	return c.list(ctx, "List of roles", `SELECT r.rolname AS "Role name",
	CASE WHEN r.rolsuper THEN 'Superuser' ELSE '' END AS "Attributes"
FROM pg_catalog.pg_roles r
WHERE `+orElse(arg, parsePattern(arg).where("", "r.rolname", ""), "r.rolname !~ '^pg_'")+`
ORDER BY 1`)
}

func (c *client) listDatabases(ctx context.Context, arg string) error {
	return c.list(ctx, "List of databases", `SELECT d.datname AS "Name", pg_catalog.pg_get_userbyid(d.datdba) AS "Owner",
	pg_catalog.pg_encoding_to_char(d.encoding) AS "Encoding"
FROM pg_catalog.pg_database d
WHERE `+parsePattern(arg).where("", "d.datname", "")+`
ORDER BY 1`)
}
