package mysqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/sqlsink"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// target is what the server says of the table.
type target struct {
	name    string // quoted
	engine  string // "" for a view
	columns []column
	uniques map[string][]string // columns of unique keys, by name of the key
}

// column is a column of the target.
type column struct {
	name      string
	typ       string // information_schema's DATA_TYPE
	full      string // COLUMN_TYPE: with length, unsigned, labels
	collation string // "" for others than texts
	fraction  int64  // digits behind the seconds
	notNull   bool
	filled    bool // has a default or counts by itself
	generated bool
}

// describe asks for the table.
func describe(ctx context.Context, s *session, o *sqlsink.Options) (*target, error) {
	t := &target{name: quote(o.Table), uniques: map[string][]string{}}
	var engine sql.NullString
	err := s.QueryRowContext(ctx, "SELECT engine FROM information_schema.tables WHERE table_schema = database() AND table_name = ?", o.Table).Scan(&engine)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, sqlerr.New(sqlerr.UndefinedTable, "table %s does not exist in MySQL database %q at %s", t.name, o.Database, o.Address()).
			WithHint("Create it there first, with a column for each column of the sink, and give user %q rights on it.", o.User)
	}
	if err != nil {
		return nil, s.explain("look for the table", err)
	}
	t.engine = engine.String
	rows, err := s.QueryContext(ctx, `SELECT column_name, data_type, column_type, coalesce(collation_name, ''), coalesce(datetime_precision, 0), is_nullable = 'NO',
			column_default IS NOT NULL OR extra LIKE '%auto_increment%', extra LIKE '%GENERATED' OR extra LIKE '%PERSISTENT%'
		FROM information_schema.columns WHERE table_schema = database() AND table_name = ? ORDER BY ordinal_position`, o.Table)
	if err != nil {
		return nil, s.explain("read the table's columns", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c column
		if err := rows.Scan(&c.name, &c.typ, &c.full, &c.collation, &c.fraction, &c.notNull, &c.filled, &c.generated); err != nil {
			return nil, s.explain("read the table's columns", err)
		}
		t.columns = append(t.columns, c)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain("read the table's columns", err)
	}
	keys, err := s.QueryContext(ctx, `SELECT index_name, coalesce(column_name, ''), sub_part IS NOT NULL FROM information_schema.statistics
		WHERE table_schema = database() AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index`, o.Table)
	if err != nil {
		return nil, s.explain("read the table's keys", err)
	}
	defer keys.Close()
	for keys.Next() {
		var index, col string
		var part bool
		if err := keys.Scan(&index, &col, &part); err != nil {
			return nil, s.explain("read the table's keys", err)
		}
		if part {
			col += " (a part)" // is no column's name as a whole
		}
		t.uniques[index] = append(t.uniques[index], col)
	}
	if err := keys.Err(); err != nil {
		return nil, s.explain("read the table's keys", err)
	}
	return t, nil
}

func (t *target) column(name string) *column {
	if i := slices.IndexFunc(t.columns, func(c column) bool { return strings.EqualFold(c.name, name) }); i >= 0 {
		return &t.columns[i]
	}
	return nil
}

// check holds the target against what the sink will write.
func (t *target) check(spec *connector.SinkSpec, o *sqlsink.Options) error {
	if !strings.EqualFold(t.engine, "InnoDB") {
		return sqlerr.New(sqlerr.WrongObjectType, "table %s has engine %q, which has no transactions", t.name, t.engine).
			WithHint("ALTER TABLE %s ENGINE = InnoDB.", t.name)
	}
	if err := t.checkColumns(spec); err != nil {
		return err
	}
	if o.Upsert {
		return t.checkKey(spec)
	}
	return nil
}

func (t *target) checkColumns(spec *connector.SinkSpec) error {
	given := map[*column]bool{}
	for _, c := range spec.Columns {
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
		given[to] = true
		if to.generated {
			return sqlerr.New(sqlerr.WrongObjectType, "column %q of table %s is generated and cannot be written", c.Name, t.name).
				WithHint("Leave it out of the sink's query.")
		}
		if !fits(c.Type, to) {
			return sqlerr.New(sqlerr.DatatypeMismatch, "column %q of the sink has type %s, which does not fit type %s of table %s", c.Name, c.Type, to.full, t.name).
				WithHint("Cast it in the sink's query, or change the table: ALTER TABLE %s MODIFY %s %s.", t.name, quote(c.Name), suggested(c.Type))
		}
	}
	for i := range t.columns {
		if c := &t.columns[i]; c.notNull && !c.filled && !c.generated && !given[c] {
			return sqlerr.New(sqlerr.NotNullViolation, "column %q of table %s is NOT NULL without a default, and the sink does not give it", c.name, t.name).
				WithHint("Add it to the sink's query, or give it a default.")
		}
	}
	return nil
}

// checkKey finds the unique key of an upsert, and refuses others: ON DUPLICATE KEY UPDATE would change the row that
// has the other key.
func (t *target) checkKey(spec *connector.SinkSpec) error {
	var names []string
	for _, k := range spec.Key {
		names = append(names, t.column(spec.Columns[k].Name).name)
	}
	sorted, found := slices.Sorted(slices.Values(names)), false
	for index, cols := range t.uniques {
		if slices.Equal(slices.Sorted(slices.Values(cols)), sorted) {
			found = true
			continue
		}
		ours, all := 0, true
		for _, c := range cols {
			all = all && slices.ContainsFunc(spec.Columns, func(s catalog.Column) bool { return strings.EqualFold(s.Name, c) })
			if slices.Contains(names, c) {
				ours++
			}
		}
		if all && ours < len(names) {
			return sqlerr.New(sqlerr.InvalidTableDefinition, "table %s has another unique key, %s on (%s): rows of different keys could overwrite one another", t.name, quote(index), strings.Join(cols, ", ")).
				WithHint("Drop it, make it an index that is not unique, or name its columns with the option \"primary_key\".")
		}
	}
	if !found {
		quoted := make([]string, len(names))
		for i, n := range names {
			quoted[i] = quote(n)
		}
		return sqlerr.New(sqlerr.InvalidTableDefinition, "table %s has no primary key or unique key on (%s), which type = 'upsert' needs", t.name, strings.Join(names, ", ")).
			WithHint("ALTER TABLE %s ADD PRIMARY KEY (%s); or name its key with the option \"primary_key\".", t.name, strings.Join(quoted, ", "))
	}
	for _, k := range spec.Key {
		if err := t.checkKeyColumn(spec.Columns[k].Name); err != nil {
			return err
		}
	}
	return nil
}

// checkKeyColumn refuses columns in which values that differ here are the same.
func (t *target) checkKeyColumn(name string) error {
	c := t.column(name)
	switch {
	case !c.notNull:
		return sqlerr.New(sqlerr.InvalidTableDefinition, "column %q of the key may be NULL in table %s: a row could not be found again", name, t.name).
			WithHint("ALTER TABLE %s MODIFY %s %s NOT NULL.", t.name, quote(name), c.full)
	case c.collation != "" && !strings.HasSuffix(c.collation, "_bin") && c.typ != "enum":
		return sqlerr.New(sqlerr.CollationMismatch, "column %q of the key has collation %s in table %s, in which texts that differ are equal", name, c.collation, t.name).
			WithHint("ALTER TABLE %s MODIFY %s %s CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL.", t.name, quote(name), c.full)
	case slices.Contains([]string{"time", "datetime", "timestamp"}, c.typ) && c.fraction < 6:
		return sqlerr.New(sqlerr.DatatypeMismatch, "column %q of the key has type %s in table %s, which rounds microseconds away", name, c.full, t.name).
			WithHint("ALTER TABLE %s MODIFY %s %s(6) NOT NULL.", t.name, quote(name), c.typ)
	}
	return nil
}

// checkRights runs what the writer will run, on no row.
func (t *target) checkRights(ctx context.Context, s *session, spec *connector.SinkSpec, o *sqlsink.Options) error {
	cols, nulls := make([]string, len(spec.Columns)), make([]string, len(spec.Columns))
	for i, c := range spec.Columns {
		cols[i], nulls[i] = quote(c.Name), "NULL"
	}
	try := [][2]string{{"INSERT", fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM (SELECT 1) x WHERE 1 = 0", t.name, strings.Join(cols, ", "), strings.Join(nulls, ", "))}}
	need := "INSERT"
	if o.Upsert {
		need = "INSERT, UPDATE, DELETE, SELECT"
		try = append(try, [2]string{"UPDATE", fmt.Sprintf("UPDATE %s SET %s = %s WHERE 1 = 0", t.name, cols[0], cols[0])},
			[2]string{"DELETE", fmt.Sprintf("DELETE FROM %s WHERE %s IS NULL AND 1 = 0", t.name, cols[0])})
	}
	for _, x := range try {
		if _, err := s.exec(ctx, x[1]); err != nil {
			return s.denied(err, x[0], t.name, need)
		}
	}
	if _, err := s.exec(ctx, markerDDL); err != nil && !isNumber(err, 1050) {
		return s.denied(err, "CREATE", marker, "CREATE, SELECT, INSERT, UPDATE")
	}
	for _, text := range []string{"INSERT INTO " + marker + " (sink, generation) SELECT '', 0 FROM (SELECT 1) x WHERE 1 = 0", "UPDATE " + marker + " SET epoch = epoch WHERE sink IS NULL"} {
		if _, err := s.exec(ctx, text); err != nil {
			return s.denied(err, text[:6], marker, "SELECT, INSERT, UPDATE")
		}
	}
	return nil
}

// denied words the lack of a right; other errors are as they are.
func (s *session) denied(err error, right, table, need string) error {
	if !isNumber(err, 1142) && !isNumber(err, 1143) && !isNumber(err, 1044) {
		return s.explain("check the user's rights", err)
	}
	return sqlerr.New(sqlerr.InsufficientPrivilege, "user %q may not %s table %s", s.options.User, right, table).
		WithHint("GRANT %s ON %s.%s TO '%s'.", need, quote(s.options.Database), table, s.options.User).WithCause(err)
}

func isNumber(err error, number uint16) bool {
	var e *mysql.MySQLError
	return errors.As(err, &e) && e.Number == number
}
