package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/sqlio"
)

// typeCases are columns, the type that they have here, and values as SQL.
var typeCases = []struct {
	upstream, here string
	values         []string
}{
	{"boolean", "boolean", []string{"true", "false"}},
	{"smallint", "smallint", []string{"-32768", "32767"}},
	{"integer", "integer", []string{"-2147483648", "2147483647"}},
	{"bigint", "bigint", []string{"-9223372036854775808", "9223372036854775807"}},
	{"real", "real", []string{"1.1", "'NaN'", "'-Infinity'", "3.4028235e38", "1e-45"}},
	{"double precision", "double precision", []string{"0.1", "'Infinity'", "-0.0::float8", "1.7976931348623157e308", "5e-324"}},
	{"numeric", "numeric", []string{"'NaN'", "'Infinity'", "'-Infinity'", "1.10", "0.000000000000000000000000000000000000001", "10::numeric ^ 1000 + 0.5", "-99999999999999999999999999999999999999999999.5"}},
	{"numeric(10,2)", "numeric(10,2)", []string{"12345678.90", "-0.01"}},
	{"numeric(3,-2)", "numeric(3,-2)", []string{"12300"}},
	{"money", "text", []string{"1234.56", "-0.01"}},
	{"text", "text", []string{"''", "'tab\there'", `E'\\N'`, `E'a\nb\r\t\\c\b\f\v'`, "'ünï 🦆'", "repeat('long ', 3000)"}},
	{"varchar(20)", "character varying(20)", []string{"'x'", "''"}},
	{"varchar", "character varying", []string{"'any'"}},
	{"char(5)", "character(5)", []string{"'ab'", "''"}},
	{`"char"`, "text", []string{"'x'", "''"}},
	{"name", "name", []string{"'a_name'"}},
	{"citext_like", "text", []string{"'domain'"}},
	{"bytea", "bytea", []string{`'\x00ff5c0a'`, `''`, `decode(repeat('00ff', 2000), 'hex')`}},
	{"date", "date", []string{"'2024-02-29'", "'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'"}},
	{"time", "time without time zone", []string{"'24:00'", "'00:00:00.000001'"}},
	{"time(2)", "time(2) without time zone", []string{"'12:34:56.78'"}},
	{"timetz", "time with time zone", []string{"'12:00+05:30'", "'23:59:59.999999-15:59'"}},
	{"timestamp", "timestamp without time zone", []string{"'2024-01-01 12:34:56.789'", "'infinity'", "'4713-01-01 00:00 BC'", "'294276-12-31 23:59:59.999999'"}},
	{"timestamp(3)", "timestamp(3) without time zone", []string{"'2024-01-01 12:34:56.789'"}},
	{"timestamptz", "timestamp with time zone", []string{"'2024-06-01 12:00+02'", "'-infinity'", "'0044-03-15 12:00 BC'"}},
	{"interval", "interval", []string{"'1 year 2 mons -3 days 04:05:06.789'", "'-178000000 years'", "'-00:00:01'", "'0'"}},
	{"interval(3)", "interval(3)", []string{"'1.234 s'"}},
	{"uuid", "uuid", []string{"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"}},
	{"json", "json", []string{`'{"b": 1,  "a": [1, 2.50, null]}'`}},
	{"jsonb", "jsonb", []string{`'{"b": 1, "a": [1, 2.50, null, "\u00fc"], "": {}}'`, `'null'`, `'1e3'`}},
	{"jsonpath", "text", []string{`'$.a[*] ? (@ > 1)'`}},
	{"oid", "oid", []string{"4294967295"}},
	{"regclass", "text", []string{"'pg_class'"}},
	{"bit(4)", "bit(4)", []string{"B'1010'"}},
	{"varbit", "bit varying", []string{"B'101'", "B''", "repeat('10', 3000)::varbit"}},
	{"bit varying(70)[]", "bit varying[]", []string{"'{101,NULL,x0f}'"}},
	{"inet", "text", []string{"'192.168.0.1/24'", "'::1'"}},
	{"cidr", "text", []string{"'10.0.0.0/8'"}},
	{"macaddr", "text", []string{"'08:00:2b:01:02:03'"}},
	{"macaddr8", "text", []string{"'08:00:2b:01:02:03:04:05'"}},
	{"point", "text", []string{"'(1.5,-2)'"}},
	{"line", "text", []string{"'{1,2,3}'"}},
	{"lseg", "text", []string{"'[(0,0),(1,1)]'"}},
	{"box", "text", []string{"'(1,1),(0,0)'"}},
	{"path", "text", []string{"'((0,0),(1,1))'"}},
	{"polygon", "text", []string{"'((0,0),(1,1),(1,0))'"}},
	{"circle", "text", []string{"'<(0,0),2>'"}},
	{"xml", "text", []string{"'<a>x &amp; y</a>'"}},
	{"tsvector", "text", []string{"to_tsvector('simple', 'a quick fox')"}},
	{"tsquery", "text", []string{"'a & !b'"}},
	{"pg_lsn", "text", []string{"'16/B374D848'"}},
	{"xid8", "text", []string{"'123'"}},
	{"int4range", "text", []string{"'[1,10)'", "'empty'", "'(,5)'"}},
	{"numrange", "text", []string{"'[1.5,2.5]'"}},
	{"tstzrange", "text", []string{"'[2024-01-01 00:00+00,)'"}},
	{"int4multirange", "text", []string{"'{[1,3),[5,7)}'"}},
	{"mood", "text", []string{"'sad'", "'very happy'"}},
	{"pair", "text", []string{`ROW(1, 'a,"b')`, "ROW(NULL, '')"}},
	{"posint", "integer", []string{"7"}},
	{"price", "numeric(8,3)", []string{"1.5"}},
	{"int[]", "integer[]", []string{"'{1,NULL,3}'", "'{}'", "'[0:1][2:3]={{1,2},{3,4}}'"}},
	{"text[]", "text[]", []string{`ARRAY['a,b', 'c"d', NULL, 'NULL', '', ' x ', E'\\']`}},
	{"numeric(5,2)[]", "numeric[]", []string{"'{1.50,NaN}'"}},
	{"timestamptz[]", "timestamp with time zone[]", []string{"'{2024-01-01 00:00+00}'"}},
	{"bytea[]", "bytea[]", []string{`ARRAY['\x00'::bytea, '\xff']`}},
	{"jsonb[]", "jsonb[]", []string{`ARRAY['{"a": "b,c"}'::jsonb]`}},
	{"mood[]", "text[]", []string{"'{sad,\"very happy\"}'"}},
	{"pair[]", "text[]", []string{`ARRAY[ROW(1, 'x"y')::public.pair]`}},
	{"posint[]", "integer[]", []string{"'{1,2}'"}},
	{"ints", "integer[]", []string{"'{1,2}'"}},
	{"box[]", "text", []string{"'{(1,1),(0,0);(2,2),(1,1)}'"}},
	{"int2vector", "text", []string{"'1 2 3'"}},
}

// TestTypes holds what arrives of each type, by snapshot and by log, against what the server prints of it.
func TestTypes(t *testing.T) {
	w := newWorld(t)
	w.exec(`CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN posint AS int CHECK (value > 0);
CREATE DOMAIN price AS numeric(8,3);
CREATE DOMAIN citext_like AS text;
CREATE DOMAIN ints AS int[]`)
	var cols, checks []string
	rows := 1 // the last one is all NULL
	for i, c := range typeCases {
		cols = append(cols, fmt.Sprintf("c%d %s", i, c.upstream))
		checks = append(checks, fmt.Sprintf("CASE WHEN num_nulls(c%d) = 0 THEN format('%%s', c%d) END", i, i))
		rows = max(rows, len(c.values)+1)
	}
	w.exec("CREATE TABLE t (id int PRIMARY KEY, " + strings.Join(cols, ", ") + ")")
	spec := w.spec()
	tab := w.table(spec, "t")
	for i, c := range typeCases {
		if got := tab.Columns[i+1].Type.String(); got != c.here {
			t.Errorf("%s is %s here, want %s", c.upstream, got, c.here)
		}
	}
	u := w.upstream(spec)
	r := w.read(u, nil, tab)
	for n := range rows {
		vals := []string{fmt.Sprint(n)}
		for _, c := range typeCases {
			v := "NULL"
			if n < len(c.values) {
				v = c.values[n]
			}
			vals = append(vals, v)
		}
		w.exec("INSERT INTO t VALUES (" + strings.Join(vals, ", ") + ")")
	}
	w.exec("SET TimeZone = 'UTC';\nSET bytea_output = 'hex';\nSET lc_monetary = 'C'")
	expect := make([][]string, rows)
	for n := range rows {
		res, err := w.sql.Query(context.Background(), fmt.Sprintf("SELECT ARRAY[%s] FROM t WHERE id = %d", strings.Join(checks, ", "), n))
		if err != nil {
			t.Fatal(err)
		}
		var printed []*string
		for res.Next() {
			if err := res.Scan(&printed); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range printed {
			if x == nil {
				expect[n] = append(expect[n], "NULL")
			} else {
				expect[n] = append(expect[n], *x)
			}
		}
	}
	check := func(how string, got []string) {
		t.Helper()
		for n := range rows {
			for i, c := range typeCases {
				if cell := got[n*(len(typeCases))+i]; cell != expect[n][i] {
					t.Errorf("%s: %s, row %d: %q, want %q", how, c.upstream, n, cell, expect[n][i])
				}
			}
		}
	}
	to, err := u.Position(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	var streamed []string
	for {
		e, err := r.s.Next(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		streamed = append(streamed, cells(tab)...)
		if !e.At.Before(to) {
			break
		}
	}
	check("log", streamed)
	if _, end, err := u.Chunk(soon(t), tab, nil, 1000, &tab.Rows); err != nil || !end {
		t.Fatal(end, err)
	}
	check("snapshot", cells(tab))
	// And once more through Reread, by the keys.
	for id := range rows {
		tab.Col(0).AppendInt(int64(id))
		for i := range typeCases {
			tab.Col(i + 1).AppendNull()
		}
		tab.Put()
	}
	keys := tab.Take()
	if err := u.Reread(soon(t), tab, keys, &tab.Rows); err != nil {
		t.Fatal(err)
	}
	if n := tab.Len(); n != rows {
		t.Errorf("%d rows by their keys, want %d", n, rows)
	}
}

// cells takes the rows of a table, each value as text, without the key.
func cells(tab *cdc.Table) []string {
	c := tab.Take()
	if c == nil {
		return nil
	}
	var out []string
	for i := range c.Len() {
		for k := range typeCases {
			v := c.Cols[k+1]
			if v.IsNull(i) {
				out = append(out, "NULL")
			} else {
				out = append(out, string(sqlio.AppendText(nil, v, i, texts)))
			}
		}
	}
	return slices.Clip(out)
}
