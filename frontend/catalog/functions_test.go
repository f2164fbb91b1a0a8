package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestAnswers asks every catalog function something, through SQL.
func TestAnswers(t *testing.T) {
	f := open(t)
	oid := func(id any) string { return fmt.Sprint(id) }
	cases := []struct{ sql, want string }{
		{"pg_get_viewdef('v1'::regclass)", " SELECT id, name FROM t1;"},
		{"pg_get_viewdef('v1')", " SELECT id, name FROM t1;"},
		{"pg_get_viewdef('v1'::regclass, true)", " SELECT id, name FROM t1;"},
		{"pg_get_viewdef('t1'::regclass)", "NULL"},
		{"pg_get_viewdef('nothing')", `ERROR 42P01 relation "nothing" does not exist`},
		{"pg_get_indexdef('t1_name'::regclass)", "CREATE INDEX t1_name ON public.t1 USING btree (name DESC)"},
		{"pg_get_indexdef('t1_pkey'::regclass)", "CREATE UNIQUE INDEX t1_pkey ON public.t1 USING btree (id)"},
		{"pg_get_indexdef('t1_name'::regclass, 1, true)", "name"},
		{"pg_get_indexdef('t1_name'::regclass, 2, true)", ""},
		{"pg_get_indexdef('t1'::regclass)", "NULL"},
		{"(select pg_get_constraintdef(oid) from pg_constraint)", "PRIMARY KEY (id)"},
		{"pg_get_constraintdef(1)", "NULL"},
		{"(select pg_get_expr(adbin, adrelid) from pg_attrdef)", "'x'::text"},
		{"(select pg_get_ruledef(oid) from pg_rewrite where ev_class = 'v1'::regclass)", "CREATE RULE \"_RETURN\" AS\n    ON SELECT TO public.v1 DO INSTEAD  SELECT id, name FROM t1;"},
		{"pg_get_functiondef('twice'::regproc)", "CREATE OR REPLACE FUNCTION public.twice(x integer)\n RETURNS integer\n LANGUAGE sql\nAS $function$SELECT 2 * x$function$\n"},
		{"pg_get_function_arguments('twice'::regproc)", "x integer"},
		{"pg_get_function_identity_arguments('twice'::regproc)", "x integer"},
		{"pg_get_function_result('twice'::regproc)", "integer"},
		{"pg_get_function_result('initcap'::regproc)", "text"},
		{"pg_get_function_arguments(2147483647)", "NULL"},
		{"pg_get_userbyid(10)", "root"},
		{"pg_get_userbyid(" + oid(idAnn) + ")", "ann"},
		{"pg_get_userbyid(99)", "unknown (OID=99)"},
		{"pg_get_serial_sequence('t1', 'id')", "NULL"},
		{"pg_get_serial_sequence('t1', 'no')", `ERROR 42703 column "no" of relation "t1" does not exist`},
		{"pg_table_is_visible('t1'::regclass)", "t"},
		{"pg_table_is_visible('s2.t1'::regclass)", "f"},
		{"pg_table_is_visible('pg_class'::regclass)", "t"},
		{"pg_table_is_visible('information_schema.tables'::regclass)", "f"},
		{"pg_table_is_visible(1)", "NULL"},
		{"pg_type_is_visible(23)", "t"},
		{"pg_type_is_visible(1)", "NULL"},
		{"pg_function_is_visible('twice'::regproc)", "t"},
		{"obj_description('t1'::regclass, 'pg_class')", "a table"},
		{"obj_description('t1'::regclass)", "a table"},
		{"obj_description('s2'::regnamespace, 'pg_namespace')", "second"},
		{"obj_description('m1'::regclass, 'pg_class')", "NULL"},
		{"obj_description('t1'::regclass, 'pg_proc')", "NULL"},
		{"col_description('t1'::regclass, 2)", "its name"},
		{"col_description('t1'::regclass, 1)", "NULL"},
		{"to_regclass('t1')::oid", oid(idT1)},
		{"to_regclass('public.t1_pkey')", "t1_pkey"},
		{"to_regclass('s2.t1')", "s2.t1"},
		{"to_regclass('dev.public.t1')", "t1"},
		{"to_regclass('\"T1\"')", "NULL"},
		{"to_regclass('no.such')", "NULL"},
		{"to_regclass('k1')", "NULL"},
		{"to_regclass('a.b.c.d')", "ERROR 42601 improper relation name (too many dotted names): a.b.c.d"},
		{"to_regtype('int[]')", "integer[]"},
		{"to_regtype('varchar(10)')", "character varying"},
		{"to_regtype('nothing')", "NULL"},
		{"to_regproc('twice')", "twice"},
		{"to_regproc('abs')", "NULL"}, // several
		{"to_regoper('||/')", "||/"},
		{"to_regoper('hello world')", "ERROR 42602 invalid name syntax"},
		{"to_regoper('a.b.c.d')", "ERROR 42601 improper qualified name (too many dotted names): a.b.c.d"},
		{"to_regoperator('a b(int)')", "ERROR 42602 invalid name syntax"},
		{"to_regnamespace('s2')", "s2"},
		{"to_regnamespace('nothing')", "NULL"},
		{"'pg_class'::regclass::oid", "1259"},
		{"'pg_catalog.array_in'::regproc::oid", "750"},
		{"'nothing'::regclass", `ERROR 42P01 relation "nothing" does not exist`},
		{"'a.'::regclass", "ERROR 42602 invalid name syntax"},
		{"'nothing'::regproc", `ERROR 42883 function "nothing" does not exist`},
		{"'abs'::regproc", `ERROR 42725 more than one function named "abs"`},
		{"0::regclass", "-"},
		{"'-'::regclass::oid", "0"},
		{"77::regclass", "77"},
		{"1043::regtype", "character varying"},
		{"pg_describe_object(1259, 't1'::regclass, 0)", "table t1"},
		{"pg_describe_object(2615, 's2'::regnamespace, 0)", "schema s2"},
		{"has_table_privilege('t1', 'SELECT')", "t"},
		{"has_table_privilege('root', 't1', 'INSERT, UPDATE')", "t"},
		{"has_table_privilege('nobody', 't1', 'SELECT')", `ERROR 42704 role "nobody" does not exist`},
		{"has_table_privilege('t1', 'FLY')", `ERROR 22023 unrecognized privilege type: "FLY"`},
		{"has_table_privilege('nothing', 'SELECT')", `ERROR 42P01 relation "nothing" does not exist`},
		{"has_table_privilege(5, 'SELECT')", "NULL"},
		{"has_column_privilege('t1', 'name', 'SELECT')", "t"},
		{"has_column_privilege('t1', 'no', 'SELECT')", `ERROR 42703 column "no" of relation "t1" does not exist`},
		{"has_column_privilege('t1', 3::int2, 'SELECT')", "NULL"}, // dropped
		{"has_schema_privilege('s2', 'USAGE')", "t"},
		{"has_schema_privilege('nothing', 'USAGE')", `ERROR 3F000 schema "nothing" does not exist`},
		{"has_database_privilege('dev', 'CONNECT')", "t"},
		{"has_database_privilege('x', 'CONNECT')", `ERROR 3D000 database "x" does not exist`},
		{"pg_has_role('root', 'ann', 'MEMBER')", "t"},
		{"pg_has_role('ann', 'root', 'MEMBER')", "f"},
		{"pg_has_role('ann', 'USAGE')", "t"},
		{"pg_index_column_has_property('t1_name'::regclass, 1, 'desc')", "t"},
		{"pg_index_column_has_property('t1_pkey'::regclass, 1, 'asc')", "t"},
		{"pg_index_column_has_property('t1_pkey'::regclass, 2, 'asc')", "NULL"},
		{"pg_index_has_property('t1_pkey'::regclass, 'index_scan')", "t"},
		{"pg_indexam_has_property(403, 'can_order')", "t"},
		{"pg_relation_size('t1'::regclass)", "NULL"},
		{"pg_relation_filenode('v1'::regclass)", "NULL"},
		{"pg_postmaster_start_time()", "2023-11-14 22:13:20+00"},
		{"inet_client_port()", "5000"},
		{"pg_blocking_pids(1)", "{}"},
		{"nextval('t1'::regclass)", `ERROR 42809 "t1" is not a sequence`},
		{"lastval()", "ERROR 55000 lastval is not yet defined in this session"},
		{"pg_notify('a', 'b')", "ERROR 0A000 function pg_notify is not supported"},
		{"pg_relation_is_updatable('t1'::regclass, true)", "28"},
		{"pg_relation_is_updatable('v1'::regclass, true)", "0"},
		{"pg_column_is_updatable('t1'::regclass, 2::int2, true)", "t"},
		{"pg_get_replica_identity_index('t1'::regclass)", "t1_pkey"},
		{"has_parameter_privilege('work_mem', 'SET')", "t"},
		{"format_type(1700, 655366)", "numeric(10,2)"},
	}
	for _, c := range cases {
		t.Run(c.sql, func(t *testing.T) {
			rows, err := f.query("SELECT " + c.sql)
			got := join(rows)
			if err != nil {
				e := sqlerr.From(err)
				got = fmt.Sprintf("ERROR %s %s", e.Code, e.Message)
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestEveryCatalogFunctionHasAnAnswer: what internal/expr hands over is answered here, unless it answers itself.
func TestEveryCatalogFunctionHasAnAnswer(t *testing.T) {
	f := open(t)
	elsewhere := map[string]bool{"pg_cancel_backend": true, "pg_terminate_backend": true, "version": true}
	for name := range answerTable {
		if len(expr.ByName(name)) == 0 {
			t.Errorf("%s has an answer and no signature", name)
		}
	}
	expr.All(func(e *expr.Func) {
		if !strings.HasPrefix(e.Name, "pg_get_") && !strings.HasPrefix(e.Name, "has_") && !strings.HasSuffix(e.Name, "_is_visible") {
			return
		}
		if e.Name == "pg_get_keywords" || elsewhere[e.Name] {
			return
		}
		if answerTable[e.Name] == nil {
			t.Errorf("%s has no answer", e.Name)
		}
	})
	_, err := f.y.Function(f.s, "pg_no_such", nil)
	if sqlerr.CodeOf(err) != sqlerr.UndefinedFunction {
		t.Errorf("an unknown function: %v", err)
	}
	if d, err := f.y.Function(f.s, "pg_table_is_visible", []sqltypes.Datum{nil}); d != nil || err != nil {
		t.Errorf("NULL gives %v %v", d, err)
	}
}

func TestAdvisoryLocks(t *testing.T) {
	f := open(t)
	ask := func(s interface {
		Catalog(string, []sqltypes.Datum) (sqltypes.Datum, error)
	}, name string, key ...sqltypes.Datum) sqltypes.Datum {
		d, err := s.Catalog(name, key)
		if err != nil {
			return sqlerr.CodeOf(err)
		}
		return d
	}
	other := f.connect(8)
	steps := []struct {
		who  int
		name string
		key  []sqltypes.Datum
		want sqltypes.Datum
	}{
		{1, "pg_try_advisory_lock", []sqltypes.Datum{int64(1)}, true},
		{1, "pg_try_advisory_lock", []sqltypes.Datum{int64(1)}, true},
		{2, "pg_try_advisory_lock", []sqltypes.Datum{int64(1)}, false},
		{2, "pg_try_advisory_lock", []sqltypes.Datum{int64(1), int64(0)}, true}, // a pair is another lock
		{2, "pg_advisory_lock", []sqltypes.Datum{int64(1)}, sqlerr.LockNotAvailable},
		{2, "pg_advisory_unlock", []sqltypes.Datum{int64(1)}, false},
		{1, "pg_advisory_unlock", []sqltypes.Datum{int64(1)}, true},
		{2, "pg_try_advisory_lock", []sqltypes.Datum{int64(1)}, false}, // taken twice
		{1, "pg_advisory_unlock_all", nil, ""},
		{2, "pg_advisory_lock", []sqltypes.Datum{int64(1)}, ""},
	}
	for i, s := range steps {
		who := f.s
		if s.who == 2 {
			who = other
		}
		if got := ask(who, s.name, s.key...); got != s.want {
			t.Errorf("step %d, %s: got %v, want %v", i, s.name, got, s.want)
		}
	}
	other.Close()
	if ask(f.s, "pg_try_advisory_lock", int64(1)) != true {
		t.Error("a lock outlives its session")
	}
}

func TestSplitName(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"T1", []string{"t1"}},
		{` Public . "T 1" `, []string{"public", "T 1"}},
		{`"a""b".c`, []string{`a"b`, "c"}},
		{"", nil}, {"a.", nil}, {".a", nil}, {`"a`, nil}, {`""`, nil}, {"a b", nil}, {`a"b"`, []string{`a"b"`}},
	} {
		got, ok := splitName(c.in)
		if ok != (c.want != nil) || ok && strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q: %q %v", c.in, got, ok)
		}
	}
}

func FuzzRegOID(f *testing.F) {
	for _, s := range []string{"t1", `"T1"`, "public.t1", "a..b", `"`, "int[]", "varchar(", "-", "4294967296", "numeric(1"} {
		f.Add(s)
	}
	x := open(f).facts()
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range []sqltypes.Kind{sqltypes.KRegclass, sqltypes.KRegtype, sqltypes.KRegproc, sqltypes.KRegnamespace} {
			oid, err := x.regOID(k, s)
			if err != nil {
				continue
			}
			if name, ok := x.regName(k, oid); ok && k != sqltypes.KRegproc { // a function's name may stand for several
				if again, err := x.regOID(k, name); err != nil || again != oid {
					t.Errorf("%q is %d, whose name %q is %d, %v", s, oid, name, again, err)
				}
			}
		}
	})
}
