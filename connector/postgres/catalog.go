package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/internal/sqlerr"
)

// relation is what the upstream's catalog says of a table now.
type relation struct {
	shape
	Kind       string  `json:"kind"`     // relkind
	Identity   string  `json:"identity"` // relreplident
	Persistent string  `json:"persistence"`
	Partition  bool    `json:"partition"`
	Select     bool    `json:"select"`
	Owner      bool    `json:"owner"`
	Filtered   bool    `json:"filtered"` // row security hides rows from us
	Indexes    []index `json:"indexes"`
	Children   []leaf  `json:"children"`
	// Generated are the columns GENERATED … STORED, which the log leaves out; Cols are without them.
	Generated []string `json:"-"`
}

// index is a unique index.
type index struct {
	Primary   bool    `json:"primary"`
	Identity  bool    `json:"identity"`
	Immediate bool    `json:"immediate"`
	Usable    bool    `json:"usable"` // valid, without predicate and expressions
	Columns   []int16 `json:"columns"`
}

// relationSQL yields one JSON document per table; what follows picks the tables.
const relationSQL = `SELECT pg_catalog.json_build_object(
	'oid', c.oid::bigint, 'schema', n.nspname, 'name', c.relname, 'kind', c.relkind::text, 'identity', c.relreplident::text,
	'persistence', c.relpersistence::text, 'partition', c.relispartition, 'file', c.relfilenode::bigint,
	'select', pg_catalog.has_table_privilege(c.oid, 'SELECT'), 'owner', pg_catalog.pg_has_role(c.relowner, 'USAGE'),
	'filtered', pg_catalog.row_security_active(c.oid),
	'columns', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('n', a.attnum, 'name', a.attname, 'type', a.atttypid::bigint, 'mod', a.atttypmod,
			'sql', pg_catalog.format_type(a.atttypid, a.atttypmod), 'notnull', a.attnotnull, 'generated', a.attgenerated <> '',
			'default', a.atthasdef OR a.atthasmissing OR a.attidentity <> '', 'version', a.xmin::text::bigint) ORDER BY a.attnum)
		FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), '[]'),
	'indexes', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('primary', i.indisprimary, 'identity', i.indisreplident, 'immediate', i.indimmediate,
			'usable', i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL,
			'columns', (SELECT pg_catalog.json_agg(u.k ORDER BY u.o) FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY AS u(k, o) WHERE u.o <= i.indnkeyatts)))
		FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique), '[]'),
	'children', CASE WHEN c.relkind = 'p' THEN coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('oid', l.oid::bigint, 'file', l.relfilenode::bigint,
			'attached', h.xmin::text <> s.xmin::text, 'made', s.xmin::text) ORDER BY l.oid)
		FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class l ON l.oid = p.relid
			JOIN pg_catalog.pg_inherits h ON h.inhrelid = l.oid JOIN pg_catalog.pg_attribute s ON s.attrelid = l.oid AND s.attnum = -1
		WHERE p.isleaf), '[]') ELSE '[]' END)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE `

// relations asks for tables and the types of their columns.
func relations(ctx context.Context, conn *pgconn.PgConn, types *resolver, where string) ([]*relation, error) {
	rows, err := query(ctx, conn, relationSQL+where)
	if err != nil {
		return nil, err
	}
	var out []*relation
	var oids []uint32
	for _, row := range rows {
		r := &relation{}
		if err := json.Unmarshal(row[0], r); err != nil {
			return nil, fmt.Errorf("read the description of an upstream table: %w", err)
		}
		var live []column
		for _, c := range r.Cols {
			if c.Generated {
				r.Generated = append(r.Generated, c.Name)
				continue
			}
			live = append(live, c)
			oids = append(oids, c.Type)
		}
		r.Cols = live
		r.Leaves = r.Children
		out = append(out, r)
	}
	return out, types.load(ctx, conn, oids)
}

// tableName is an upstream table as the user names it.
type tableName struct{ schema, name string }

func (n tableName) String() string { return n.schema + "." + n.name }

// splitName reads schema.table or table, either of them quoted if need be. Names are taken as they are written.
func (c *config) splitName(upstream string) (tableName, error) {
	parts, err := splitDots(upstream)
	if err == nil && len(parts) == 3 && parts[0] == c.database {
		parts = parts[1:]
	}
	switch {
	case err == nil && len(parts) == 1:
		return tableName{c.schema, parts[0]}, nil
	case err == nil && len(parts) == 2:
		return tableName{parts[0], parts[1]}, nil
	}
	return tableName{}, sqlerr.New(sqlerr.InvalidName, "%q names no table of database %q", upstream, c.database).WithHint("Write schema.table.")
}

func splitDots(s string) ([]string, error) {
	var parts []string
	for {
		var part strings.Builder
		if strings.HasPrefix(s, `"`) {
			s = s[1:]
			for {
				i := strings.IndexByte(s, '"')
				if i < 0 {
					return nil, strconv.ErrSyntax
				}
				part.WriteString(s[:i])
				s = s[i+1:]
				if !strings.HasPrefix(s, `"`) {
					break
				}
				part.WriteByte('"')
				s = s[1:]
			}
		} else {
			i := strings.IndexByte(s, '.')
			if i < 0 {
				i = len(s)
			}
			part.WriteString(s[:i])
			s = s[i:]
		}
		if part.Len() == 0 {
			return nil, strconv.ErrSyntax
		}
		parts = append(parts, part.String())
		if s == "" {
			return parts, nil
		}
		if s[0] != '.' {
			return nil, strconv.ErrSyntax
		}
		s = s[1:]
	}
}

// find looks a table up by name. Error: 42P01, naming the nearest.
func (c *config) find(ctx context.Context, conn *pgconn.PgConn, types *resolver, upstream string) (*relation, error) {
	n, err := c.splitName(upstream)
	if err != nil {
		return nil, err
	}
	for _, try := range []tableName{n, {strings.ToLower(n.schema), strings.ToLower(n.name)}} {
		rels, err := relations(ctx, conn, types, "n.nspname = "+quote(try.schema)+" AND c.relname = "+quote(try.name))
		if err != nil {
			return nil, c.explain(ctx, "look up table "+n.String(), err)
		}
		if len(rels) == 1 {
			return rels[0], nil
		}
	}
	e := sqlerr.New(sqlerr.UndefinedTable, "upstream table %q does not exist in database %q", n.String(), c.database)
	rows, err := query(ctx, conn, `SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') LIMIT 10000`)
	if err != nil {
		return nil, e
	}
	var names []string
	for _, row := range rows {
		names = append(names, string(row[0]))
	}
	if near, ok := option.Nearest(n.String(), names); ok {
		return nil, e.WithHint("Perhaps you meant %q.", near)
	}
	return nil, e.WithHint("Write schema.table; the option schema.name (here %q) says where tables are looked for.", c.schema)
}

// integer is what number reads.
type integer interface {
	~int16 | ~int32 | ~int64 | ~uint32 | ~uint64
}

// number reads a whole number that the server printed; 0 for NULL.
func number[T integer](b []byte) T {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return T(n)
}
