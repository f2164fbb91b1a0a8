package pgsink

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/internal/sqlerr"
)

// target is what PostgreSQL says of the table.
type target struct {
	name    string // quoted, with its schema
	kind    string // pg_class.relkind
	columns []column
	uniques [][]string // columns of unique keys that ON CONFLICT can name
}

// column is a column of the target.
type column struct {
	name    string
	typ     string // pg_type.typname of the type, below domains; of arrays that of the elements
	input   string // what a text is cast to before it is assigned: the type without its modifier
	array   bool
	kind    string // pg_type.typtype
	labels  []string
	notNull bool
	filled  bool // has a default or is an identity
	always  bool // GENERATED ALWAYS: cannot be written
}

func quote(names ...string) string { return pgx.Identifier(names).Sanitize() }

// describe asks for the table.
func describe(ctx context.Context, conn *pgx.Conn, o *sqlsink.Options) (*target, error) {
	t := &target{name: quote(o.Schema, o.Table)}
	var oid uint32
	err := conn.QueryRow(ctx, `SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'f')`, o.Schema, o.Table).Scan(&oid, &t.kind)
	if err == pgx.ErrNoRows {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "table %s does not exist in PostgreSQL database %q at %s", t.name, o.Database, o.Address()).
			WithHint("Create it there first, with a column for each column of the sink; the option \"schema\" says where it is looked for.")
	}
	if err != nil {
		return nil, asked(o, err)
	}
	rows, err := conn.Query(ctx, `
		WITH RECURSIVE base AS (
			SELECT a.attnum, a.atttypid AS typ FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT b.attnum, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.typ WHERE t.typtype = 'd')
		SELECT a.attname, coalesce(e.typname, t.typname), format_type(t.oid, -1), e.oid IS NOT NULL, coalesce(e.typtype, t.typtype)::text,
			coalesce((SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = coalesce(e.oid, t.oid)), '{}'),
			a.attnotnull OR d.typnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a'
		FROM pg_attribute a JOIN pg_type d ON d.oid = a.atttypid
		JOIN base b ON b.attnum = a.attnum JOIN pg_type t ON t.oid = b.typ AND t.typtype <> 'd'
		LEFT JOIN pg_type e ON t.typcategory = 'A' AND t.typelem <> 0 AND e.oid = t.typelem
		WHERE a.attrelid = $1 ORDER BY a.attnum`, oid)
	if err != nil {
		return nil, asked(o, err)
	}
	t.columns, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (c column, err error) {
		return c, r.Scan(&c.name, &c.typ, &c.input, &c.array, &c.kind, &c.labels, &c.notNull, &c.filled, &c.always)
	})
	if err != nil {
		return nil, asked(o, err)
	}
	rows, err = conn.Query(ctx, `SELECT array(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts-1]) k
			JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k)
		FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
			AND NOT 0 = ANY (i.indkey[0:i.indnkeyatts-1])`, oid)
	if err != nil {
		return nil, asked(o, err)
	}
	t.uniques, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return nil, asked(o, err)
	}
	return t, nil
}

func asked(o *sqlsink.Options, err error) error { return o.Unreachable("PostgreSQL", err) }

func (t *target) column(name string) *column {
	if i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name }); i >= 0 {
		return &t.columns[i]
	}
	return nil
}

// check holds the target against what the sink will write.
func (t *target) check(ctx context.Context, conn *pgx.Conn, spec *connector.SinkSpec, o *sqlsink.Options) error {
	if err := t.checkColumns(spec); err != nil {
		return err
	}
	if o.Upsert {
		if err := t.checkKey(spec); err != nil {
			return err
		}
	}
	return t.checkRights(ctx, conn, o)
}

func (t *target) checkColumns(spec *connector.SinkSpec) error {
	given := map[string]bool{}
	for _, c := range spec.Columns {
		given[c.Name] = true
		to := t.column(c.Name)
		if to == nil {
			e := sqlerr.New(sqlerr.UndefinedColumn, "table %s has no column %q for the sink's column of that name", t.name, c.Name)
			var names []string
			for _, c := range t.columns {
				names = append(names, c.name)
			}
			if near, ok := option.Nearest(c.Name, names); ok {
				return e.WithHint("Perhaps you meant %q; name it so in the sink's query (SELECT … AS).", near)
			}
			return e.WithHint("Add it: ALTER TABLE %s ADD COLUMN %s %s; or leave it out of the sink's query.", t.name, quote(c.Name), suggested(c.Type))
		}
		if to.always {
			return sqlerr.New(sqlerr.WrongObjectType, "column %q of table %s is generated always and cannot be written", c.Name, t.name).
				WithHint("Leave it out of the sink's query.")
		}
		if !fits(c.Type, to) {
			return sqlerr.New(sqlerr.DatatypeMismatch, "column %q of the sink has type %s, which does not fit type %s of table %s", c.Name, c.Type, to.display(), t.name).
				WithHint("Cast it in the sink's query, or change the table: ALTER TABLE %s ALTER COLUMN %s TYPE %s.", t.name, quote(c.Name), suggested(c.Type))
		}
		if missing := missingLabels(c.Type, to); missing != "" {
			return sqlerr.New(sqlerr.DatatypeMismatch, "enum type %s of column %q of table %s has no label %q", to.typ, c.Name, t.name, missing).
				WithHint("Add it: ALTER TYPE %s ADD VALUE '%s'.", quote(to.typ), missing)
		}
	}
	for _, c := range t.columns {
		if c.notNull && !c.filled && !c.always && !given[c.name] {
			return sqlerr.New(sqlerr.NotNullViolation, "column %q of table %s is NOT NULL without a default, and the sink does not give it", c.name, t.name).
				WithHint("Add it to the sink's query, or give it a default.")
		}
	}
	return nil
}

func (c *column) display() string {
	if c.kind == "e" {
		return "enum " + c.input
	}
	return c.input
}

func (t *target) checkKey(spec *connector.SinkSpec) error {
	var names []string
	for _, k := range spec.Key {
		names = append(names, spec.Columns[k].Name)
	}
	sorted := slices.Sorted(slices.Values(names))
	for _, u := range t.uniques {
		if !slices.Equal(slices.Sorted(slices.Values(u)), sorted) {
			continue
		}
		for _, n := range names {
			if !t.column(n).notNull {
				return sqlerr.New(sqlerr.InvalidTableDefinition, "column %q of the key may be NULL in table %s: a row could not be found again", n, t.name).
					WithHint("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL.", t.name, quote(n))
			}
		}
		return nil
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return sqlerr.New(sqlerr.InvalidTableDefinition, "table %s has no primary key or unique index on (%s), which type = 'upsert' needs", t.name, strings.Join(names, ", ")).
		WithHint("ALTER TABLE %s ADD PRIMARY KEY (%s); or name its key with the option \"primary_key\".", t.name, strings.Join(quoted, ", "))
}

// checkRights asks for what the writer will do, in the table and for the marker.
func (t *target) checkRights(ctx context.Context, conn *pgx.Conn, o *sqlsink.Options) error {
	need := []string{"INSERT"}
	if o.Upsert {
		need = []string{"INSERT", "UPDATE", "SELECT", "DELETE"}
	}
	for _, right := range need {
		var ok bool
		ask := "SELECT has_any_column_privilege($1::text, $2)"
		if right == "DELETE" {
			ask = "SELECT has_table_privilege($1::text, $2)"
		}
		if err := conn.QueryRow(ctx, ask, t.name, right).Scan(&ok); err != nil {
			return asked(o, err)
		}
		if !ok {
			return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not %s in table %s", o.User, right, t.name).
				WithHint("GRANT %s ON %s TO %s.", strings.Join(need, ", "), t.name, quote(o.User))
		}
	}
	marker := quote(o.Schema, sqlsink.MarkerTable)
	var exists, may bool
	err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL, CASE WHEN to_regclass($1) IS NULL THEN has_schema_privilege($2::text, 'CREATE')
		ELSE has_table_privilege(to_regclass($1), 'SELECT') AND has_table_privilege(to_regclass($1), 'INSERT') AND has_table_privilege(to_regclass($1), 'UPDATE') END`,
		marker, o.Schema).Scan(&exists, &may)
	switch {
	case err != nil:
		return asked(o, err)
	case !may && exists:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not use table %s, where the sink's progress is kept", o.User, marker).
			WithHint("GRANT SELECT, INSERT, UPDATE ON %s TO %s.", marker, quote(o.User))
	case !may:
		return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not create table %s, where the sink's progress is kept", o.User, marker).
			WithHint("GRANT CREATE ON SCHEMA %s TO %s; or create it: %s.", quote(o.Schema), quote(o.User), markerDDL(marker))
	}
	return nil
}

// markerDDL makes the table of markers.
func markerDDL(name string) string {
	return fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (sink text PRIMARY KEY, generation bigint NOT NULL, epoch bigint, backend integer, started timestamptz, committed_at timestamptz)", name)
}
