package expr

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// fakeSession answers from its fields and remembers what was set.
type fakeSession struct{ settings map[string]string }

func (*fakeSession) User() string         { return "ada" }
func (*fakeSession) Database() string     { return "dev" }
func (*fakeSession) SearchPath() []string { return []string{"public", "extra"} }
func (*fakeSession) PID() int32           { return 42 }

func (s *fakeSession) Setting(name string) (string, bool) { v, ok := s.settings[name]; return v, ok }

func (s *fakeSession) SetSetting(name, value string, _ bool) error {
	s.settings[name] = value
	return nil
}

func (*fakeSession) Catalog(name string, args []sqltypes.Datum) (sqltypes.Datum, error) {
	switch name {
	case "pg_get_viewdef":
		if args[0] == int64(1) {
			break
		}
		return fmt.Sprintf("SELECT %d", args[0]), nil
	case "pg_table_is_visible":
		return args[0].(int64) == 1, nil
	case "obj_description":
		if args[0] == int64(9) {
			return nil, nil
		}
	case "to_regclass":
		if string(args[0].([]byte)) == "t" {
			return nil, sqlerr.New(sqlerr.UndefinedObject, "no %s of %s", name, args[0])
		}
	}
	return echo(name, args, ByName(name)[0].Result)
}

func TestSessionFunctions(t *testing.T) {
	for _, tc := range []struct{ src, want string }{
		{"current_user()", "=> ada"},
		{"current_database()", "=> dev"},
		{"current_schema()", "=> public"},
		{"current_schemas(true)", "=> {pg_catalog,public,extra}"},
		{"current_schemas(false)", "=> {public,extra}"},
		{"pg_backend_pid()", "=> 42"},
		{"current_setting('x')", "=> 1"},
		{"current_setting('y')", "!! 42704 unrecognized configuration parameter \"y\""},
		{"current_setting('y', true)", "=> NULL"},
		{"set_config('z', 'on', false)", "=> on"},
		{"version()", "=> PostgreSQL 15.9 (Millrace)"},
		{"pg_get_viewdef(7::oid)", "=> SELECT 7"},
		{"pg_table_is_visible(1::oid)", "=> t"},
		{"pg_table_is_visible(NULL::oid)", "=> NULL"},
		{"obj_description(9::oid, 'pg_class')", "=> NULL"},
		{"to_regclass('t')", "!! 42704 no to_regclass of t"},
	} {
		e := mustParse(t, tc.src)
		c := &Ctx{Session: &fakeSession{map[string]string{"x": "1", "server_version": "15.9"}}}
		d, err := EvalConst(c, e)
		if got := outcome(e.Type(), d, err); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.src, got, tc.want)
		}
	}
	_, err := EvalConst(&Ctx{}, mustParse(t, "pg_get_viewdef(7::oid)"))
	if sqlerr.CodeOf(err) != sqlerr.FeatureNotSupported {
		t.Errorf("without a session: %v", err)
	}
}

func TestClock(t *testing.T) {
	const now = 757382400123456 // 2024-01-01 00:00:00.123456
	for src, want := range map[string]string{
		"now()": "=> 2024-01-01 00:00:00.123456+00", "proctime()": "=> 2024-01-01 00:00:00.123456+00",
		"statement_timestamp()": "=> 2024-01-01 00:00:00.123457+00", "current_date()": "=> 2024-01-01",
		"localtimestamp()": "=> 2024-01-01 00:00:00.123456", "localtime()": "=> 00:00:00.123456",
		"age('2023-12-31'::timestamp)": "=> 1 day",
	} {
		e := mustParse(t, src)
		d, err := EvalConst(&Ctx{Now: now, StmtNow: now + 1}, e)
		if got := outcome(e.Type(), d, err); got != want {
			t.Errorf("%s: got %s, want %s", src, got, want)
		}
	}
	for _, src := range []string{"random()", "gen_random_uuid()", "clock_timestamp()"} {
		e := mustParse(t, src)
		a, _ := EvalConst(&Ctx{}, e)
		if a == nil {
			t.Errorf("%s is NULL", src)
		}
	}
	c1, c2 := &Ctx{}, &Ctx{}
	for _, c := range []*Ctx{c1, c2} {
		if _, err := EvalConst(c, mustParse(t, "setseed(0.5)")); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := EvalConst(c1, mustParse(t, "random()"))
	b, _ := EvalConst(c2, mustParse(t, "random()"))
	if a != b {
		t.Errorf("setseed does not make random() repeatable: %v, %v", a, b)
	}
}
