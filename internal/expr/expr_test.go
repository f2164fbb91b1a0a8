package expr

import (
	"bytes"
	"encoding/gob"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

func mustParse(t *testing.T, s string) Expr {
	t.Helper()
	e, err := parseExpr(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return e
}

func intConst(v int64) *Const { return &Const{Ty: sqltypes.Int4, Val: v} }

func op(t *testing.T, name string, args ...Expr) Expr {
	t.Helper()
	for _, f := range ByName(name) {
		if len(f.Args) == len(args) {
			ok := true
			for i := range args {
				ok = ok && (f.Args[i] == args[i].Type() || f.Args[i].IsPseudo())
			}
			if ok {
				return NewCall(f, args...)
			}
		}
	}
	t.Fatalf("no %s", name)
	return nil
}

// Every entry must be documented, have a kernel, and carry sound facts.
func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	All(func(f *Func) {
		switch {
		case f.Doc == "" || f.Kernel == nil:
			t.Errorf("%s: no doc line or no kernel", f.Sig())
		case f.Optional > len(f.Args) || f.Variadic && len(f.Args) == 0:
			t.Errorf("%s: optional or variadic arguments do not fit", f.Sig())
		case f.Result.IsPseudo() && f.ResultOf == nil:
			t.Errorf("%s: result %s is never resolved", f.Sig(), f.Result)
		}
		if got, ok := BySig(f.Sig()); !ok || got.Name != f.Name {
			t.Errorf("%s is not found by its signature", f.Sig())
		}
	})
	AllAggs(func(a *AggFunc) {
		if a.Doc == "" || a.Fixed == nil && a.New == nil || a.Fixed != nil && a.Fixed.Width%8 != 0 {
			t.Errorf("%s: no doc line, no state, or an odd width", a.Sig())
		}
		if got, ok := AggBySig(a.Sig()); !ok || got.Doc != a.Doc || seen[a.Sig()] {
			t.Errorf("%s is listed twice or not found by its signature", a.Sig())
		}
		seen[a.Sig()] = true
	})
	AllTableFuncs(func(f *TableFunc) {
		if f.Doc == "" || f.Eval == nil || len(f.Cols) == 0 && f.ColsOf == nil {
			t.Errorf("%s: no doc line, kernel or columns", f.Sig())
		}
		if _, ok := TableFuncBySig(f.Sig()); !ok {
			t.Errorf("%s is not found by its signature", f.Sig())
		}
	})
}

func TestVolatility(t *testing.T) {
	for src, want := range map[string]Volatility{
		"1 + 2": Immutable, "now()": Stable, "random()": Volatile, "'2024-01-01'::text::date": Stable,
		"'1'::text::int4": Immutable, "'2024-01-01'::date::timestamptz": Stable, "1::text": Immutable,
		"concat('a', random())": Volatile, "'2024-01-01 00:00:00'::timestamp + '1 day'::interval": Stable,
		"gen_random_uuid()": Volatile, "clock_timestamp()": Volatile,
	} {
		if got := VolatilityOf(mustParse(t, src)); got != want {
			t.Errorf("%s: got %d, want %d", src, got, want)
		}
	}
}

func TestFormat(t *testing.T) {
	col := &Col{0, sqltypes.Int4, "a"}
	name := &Col{1, sqltypes.Text, ""}
	for _, tc := range []struct {
		e    Expr
		want string
	}{
		{op(t, ">", col, intConst(5)), "(a > 5)"},
		{op(t, "lower", name), "lower(n)"},
		{&Cast{Arg: col, Ty: sqltypes.Numeric}, "(a)::numeric"},
		{op(t, "-", col), "(- a)"},
		{&BoolOp{Args: []Expr{True(), &Not{True()}}}, "(true AND (NOT true))"},
		{&BoolOp{Or: true, Args: []Expr{&IsNull{col, false}, &IsNull{col, true}}}, "((a IS NULL) OR (a IS NOT NULL))"},
		{&Case{Whens: []When{{True(), intConst(1)}}, Else: intConst(-2), Ty: sqltypes.Int4}, "CASE WHEN true THEN 1 ELSE '-2'::integer END"},
		{&Coalesce{[]Expr{col, Null(sqltypes.Int4)}, sqltypes.Int4}, "COALESCE(a, NULL::integer)"},
		{&InList{Arg: name, Vals: []sqltypes.Datum{[]byte("it's")}, HasNull: true}, "(n IN ('it''s'::text, NULL))"},
		{&AnyAll{"=(integer,integer)", col, &Param{1, sqltypes.ArrayOf(sqltypes.Int4)}, false}, "(a = ANY ($1))"},
		{&MakeArray{[]Expr{col, intConst(1)}, sqltypes.ArrayOf(sqltypes.Int4), false}, "ARRAY[a, 1]"},
		{&MakeRow{[]Expr{col, name}, sqltypes.Record}, "ROW(a, n)"},
		{&Field{&MakeRow{[]Expr{col, name}, sqltypes.Record}, 1, sqltypes.Text}, "(ROW(a, n)).f2"},
		{op(t, "isdistinct", col, col), "(a IS DISTINCT FROM a)"},
		{op(t, "greatest", col), "GREATEST(a)"},
		{&Const{sqltypes.Float8, -0.5}, "'-0.5'::double precision"},
	} {
		got := Format(tc.e, func(i int) string {
			if i == 1 {
				return "n"
			}
			return ""
		})
		if got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

func TestFold(t *testing.T) {
	col := &Col{0, sqltypes.Bool, "a"}
	one := &Col{1, sqltypes.Int4, "b"}
	div := op(t, "/", intConst(1), intConst(0))
	for _, tc := range []struct {
		e    Expr
		want string
	}{
		{op(t, "+", intConst(1), intConst(2)), "3"},
		{op(t, "+", one, op(t, "*", intConst(3), intConst(2))), "(b + 6)"},
		{op(t, "+", one, Null(sqltypes.Int4)), "NULL::integer"},
		{div, "(1 / 0)"},
		{mustParse(t, "random()"), "random()"},
		{mustParse(t, "now()"), "now()"},
		{&BoolOp{Args: []Expr{True(), col}}, "a"},
		{&BoolOp{Args: []Expr{col, &Const{sqltypes.Bool, false}}}, "false"},
		{&BoolOp{Or: true, Args: []Expr{col, True()}}, "true"},
		{&BoolOp{Or: true, Args: []Expr{col, Null(sqltypes.Bool)}}, "(a OR NULL::boolean)"},
		{&BoolOp{Args: []Expr{col, &BoolOp{Args: []Expr{True(), col}}}}, "(a AND a)"},
		{&BoolOp{Args: []Expr{True(), True()}}, "true"},
		{&Case{Whens: []When{{&Const{sqltypes.Bool, false}, div}, {True(), one}}, Else: div, Ty: sqltypes.Int4}, "b"},
		{&Case{Whens: []When{{col, one}, {True(), intConst(2)}}, Else: div, Ty: sqltypes.Int4}, "CASE WHEN a THEN b ELSE 2 END"},
		{&Case{Whens: []When{{Null(sqltypes.Bool), one}}, Ty: sqltypes.Int4}, "NULL::integer"},
		{&Coalesce{[]Expr{Null(sqltypes.Int4), one, intConst(1), div}, sqltypes.Int4}, "COALESCE(b, 1)"},
		{&Coalesce{[]Expr{Null(sqltypes.Int4)}, sqltypes.Int4}, "NULL::integer"},
		{&Not{True()}, "false"},
		{&IsNull{intConst(1), false}, "false"},
		{&InList{Arg: intConst(1), Vals: []sqltypes.Datum{int64(1)}}, "true"},
		{&Cast{Arg: &Const{sqltypes.Text, "5"}, Ty: sqltypes.Int4}, "5"},
		{&Cast{Arg: &Const{sqltypes.Text, "x"}, Ty: sqltypes.Int4}, "('x'::text)::integer"},
	} {
		if got := Format(Fold(tc.e), nil); got != tc.want {
			t.Errorf("%s: got %s, want %s", Format(tc.e, nil), got, tc.want)
		}
	}
}

func TestGobRoundTrip(t *testing.T) {
	RegisterGob()
	dec, _ := numeric.Parse("12345678901234567890123456789012345678901234567890.1230")
	col := &Col{3, sqltypes.Int8, "c"}
	row := sqltypes.StructOf([]sqltypes.RowField{{Name: "x", Type: sqltypes.Int4}})
	for _, e := range []Expr{
		col,
		&Const{sqltypes.Int4, int64(5)},
		&Const{sqltypes.Bool, true},
		&Const{sqltypes.Float8, 1.5},
		&Const{sqltypes.Text, []byte("x")},
		&Const{sqltypes.Text, "x"},
		&Const{sqltypes.Numeric, dec},
		&Const{sqltypes.IntervalT, datetime.Interval{Months: 1, Days: -2, Micros: 3}},
		Null(sqltypes.Type{Kind: sqltypes.KVarchar, Mod: 9}),
		&Param{2, sqltypes.Text},
		&Call{"+(integer,integer)", []Expr{col, col}, sqltypes.Int4},
		&Cast{col, sqltypes.Text, true},
		&BoolOp{true, []Expr{True(), True()}},
		&Not{True()},
		&IsNull{col, true},
		&Case{[]When{{True(), col}}, col, sqltypes.Int8},
		&Case{[]When{{True(), col}}, nil, sqltypes.Int8},
		&Coalesce{[]Expr{col}, sqltypes.Int8},
		&InList{col, []sqltypes.Datum{int64(1), int64(2)}, true, true},
		&AnyAll{"=(integer,integer)", col, col, true},
		&MakeArray{[]Expr{col}, sqltypes.ArrayOf(sqltypes.Int8), true},
		&MakeRow{[]Expr{col}, row},
		&Field{&MakeRow{[]Expr{col}, row}, 1, sqltypes.Int8},
	} {
		var buf bytes.Buffer
		if err := gob.NewEncoder(&buf).Encode(&e); err != nil {
			t.Errorf("encode %T: %v", e, err)
			continue
		}
		var back Expr
		if err := gob.NewDecoder(&buf).Decode(&back); err != nil {
			t.Errorf("decode %T: %v", e, err)
			continue
		}
		if !reflect.DeepEqual(e, back) {
			t.Errorf("%T: got %#v, want %#v", e, back, e)
		}
	}
}

// Operands behind one that decides must not be evaluated for the rows it decides.
func TestLazyEvaluation(t *testing.T) {
	x := &Col{0, sqltypes.Int4, "x"}
	inv := op(t, "/", intConst(10), x)
	big := op(t, ">", inv, intConst(3))
	nonzero := op(t, "<>", x, intConst(0))
	vec := vecOf(t, sqltypes.Int4, "0", "1", "", "5")
	for _, tc := range []struct {
		e    Expr
		want string
	}{
		{&BoolOp{Args: []Expr{nonzero, big}}, "f t NULL f"},
		{&BoolOp{Or: true, Args: []Expr{&Not{nonzero}, big}}, "t t NULL f"},
		{&Case{Whens: []When{{nonzero, inv}}, Else: intConst(-1), Ty: sqltypes.Int4}, "-1 10 -1 2"},
		{&Coalesce{[]Expr{x, inv}, sqltypes.Int4}, "0 1 NULL 5"},
		{&InList{Arg: x, Vals: []sqltypes.Datum{int64(1), int64(7)}}, "f t NULL f"},
		{&InList{Arg: x, Vals: []sqltypes.Datum{int64(1)}, HasNull: true, Negate: true}, "NULL f NULL NULL"},
		{&IsNull{x, false}, "f f t f"},
		{inv, "!! 10 NULL 2"},
	} {
		p, err := Compile(tc.e)
		if err != nil {
			t.Fatal(err)
		}
		c := &Ctx{}
		v := p.Eval(c, &delta.Chunk{Cols: []*delta.Vec{vec}, Rows: 4})
		failed := map[int32]bool{}
		for _, e := range c.TakeErrs() {
			failed[e.Row] = true
		}
		var got []string
		for i := range 4 {
			if failed[int32(i)] {
				got = append(got, "!!")
			} else {
				got = append(got, strings.TrimPrefix(outcome(tc.e.Type(), v.Datum(i), nil), "=> "))
			}
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: got %s, want %s", Format(tc.e, nil), s, tc.want)
		}
	}
}

func TestAnyAll(t *testing.T) {
	arr := &Col{0, sqltypes.ArrayOf(sqltypes.Int4), "a"}
	vec := vecOf(t, arr.Ty, "{1,2}", "{}", "", "{NULL,3}", "{2,2}")
	for _, tc := range []struct {
		all  bool
		want string
	}{{false, "t f NULL NULL t"}, {true, "f t NULL f t"}} {
		p, err := Compile(&AnyAll{"=(integer,integer)", intConst(2), arr, tc.all})
		if err != nil {
			t.Fatal(err)
		}
		v := p.Eval(&Ctx{}, &delta.Chunk{Cols: []*delta.Vec{vec}, Rows: 5})
		var got []string
		for i := range 5 {
			got = append(got, strings.TrimPrefix(outcome(sqltypes.Bool, v.Datum(i), nil), "=> "))
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("all=%v: got %s, want %s", tc.all, s, tc.want)
		}
		checkConstantArrays(t, vec, tc.all, strings.Fields(tc.want))
	}
}

// checkConstantArrays asks the same question of each array as a constant, for a column.
func checkConstantArrays(t *testing.T, arrays *delta.Vec, all bool, want []string) {
	t.Helper()
	for i := range arrays.Len() {
		p, err := Compile(&AnyAll{"=(integer,integer)", &Col{0, sqltypes.Int4, "x"}, &Const{arrays.Type, arrays.Datum(i)}, all})
		if err != nil {
			t.Fatal(err)
		}
		x := vecOf(t, sqltypes.Int4, "7", "2", "2")
		v := p.Eval(&Ctx{}, &delta.Chunk{Cols: []*delta.Vec{x}, Rows: 3, Sel: []int32{2, 1}})
		for _, row := range []int{1, 2} {
			if got := strings.TrimPrefix(outcome(sqltypes.Bool, v.Datum(row), nil), "=> "); got != want[i] {
				t.Errorf("constant array %d, all=%v, row %d: got %s, want %s", i, all, row, got, want[i])
			}
		}
	}
}

func TestIsDistinct(t *testing.T) {
	x, y := &Col{0, sqltypes.Int4, "x"}, &Col{1, sqltypes.Int4, "y"}
	p, err := Compile(op(t, "isdistinct", x, y))
	if err != nil {
		t.Fatal(err)
	}
	ch := &delta.Chunk{Cols: []*delta.Vec{vecOf(t, x.Ty, "1", "1", "", ""), vecOf(t, x.Ty, "1", "2", "1", "")}, Rows: 4}
	v := p.Eval(&Ctx{}, ch)
	if want := []bool{false, true, true, false}; v.Valid != nil || !reflect.DeepEqual(v.Bools, want) {
		t.Errorf("got %v, want %v", v.Bools, want)
	}
}

func TestTableFuncs(t *testing.T) {
	for _, tc := range []struct {
		sig  string
		args string // parsed as ROW(…)
		want string
	}{
		{"generate_series(integer,integer,integer)", "1|4|2", "1;3"},
		{"generate_series(integer,integer,integer)", "2147483646|2147483647", "2147483646;2147483647"},
		{"generate_series(bigint,bigint,bigint)", "3::int8|1::int8|(-1)::int8", "3;2;1"},
		{"generate_series(bigint,bigint,bigint)", "1::int8|2::int8|0::int8", "!! 22023 step size cannot equal zero"},
		{"generate_series(numeric,numeric,numeric)", "1.1|2.0|0.5", "1.1;1.6"},
		{"generate_series(numeric,numeric,numeric)", "1.1|'NaN'::numeric", "!! 22023 stop value cannot be NaN"},
		{"unnest(anyarray)", "'{{1,2},{NULL,4}}'::int4[]", "1;2;NULL;4"},
		{"generate_subscripts(anyarray,integer,boolean)", "'[3:5]={1,2,3}'::int4[]|1", "3;4;5"},
		{"generate_subscripts(anyarray,integer,boolean)", "'[3:5]={1,2,3}'::int4[]|1|true", "5;4;3"},
		{"_pg_expandarray(anyarray)", "'{a,b}'::text[]", "a,1;b,2"},
		{"regexp_matches(text,text,text)", "'foobarbequebaz'::text|'ba.'::text|'g'::text", "{bar};{baz}"},
		{"regexp_matches(text,text,text)", "'foobarbequebaz'::text|'(b)(a.)'::text", "{b,ar}"},
		{"regexp_split_to_table(text,text,text)", "'a b  c'::text|'\\s+'::text", "a;b;c"},
		{"string_to_table(text,text,text)", "'a,b,'::text|','::text|''::text", "a;b;NULL"},
		{"jsonb_array_elements(jsonb)", "'[1,\"a\",null]'::jsonb", "1;\"a\";null"},
		{"jsonb_array_elements_text(jsonb)", "'[1,\"a\",null]'::jsonb", "1;a;NULL"},
		{"jsonb_array_elements(jsonb)", "'{}'::jsonb", "!! 22023 cannot extract elements from an object"},
		{"jsonb_each(jsonb)", "'{\"b\":1,\"a\":null}'::jsonb", "a,null;b,1"},
		{"jsonb_each_text(jsonb)", "'{\"b\":1,\"a\":null}'::jsonb", "a,NULL;b,1"},
		{"jsonb_object_keys(jsonb)", "'{\"b\":1,\"a\":null}'::jsonb", "a;b"},
		{"jsonb_object_keys(jsonb)", "'[]'::jsonb", "!! 22023 cannot call jsonb_object_keys on an array"},
		{"json_each(json)", "'{\"b\": [1, 2],\"a\":null}'::json", "b,[1, 2];a,null"},
		{"json_array_elements_text(json)", "'[1,\"a\\n\",null]'::json", "1;a⏎;NULL"},
	} {
		f, ok := TableFuncBySig(tc.sig)
		if !ok {
			t.Errorf("no %s", tc.sig)
			continue
		}
		var args []sqltypes.Datum
		var types []sqltypes.Type
		for _, src := range strings.Split(tc.args, "|") {
			e := mustParse(t, src)
			d, err := EvalConst(&Ctx{}, e)
			if err != nil {
				t.Fatal(err)
			}
			args, types = append(args, d), append(types, e.Type())
		}
		cols := f.Cols
		if f.ColsOf != nil {
			cols = f.ColsOf(types)
		}
		var rows []string
		err := f.Eval(&Ctx{}, args, types, func(row []sqltypes.Datum) error {
			var vals []string
			for i, d := range row {
				vals = append(vals, strings.TrimPrefix(outcome(cols[i].Type, d, nil), "=> "))
			}
			rows = append(rows, strings.Join(vals, ","))
			return nil
		})
		got := strings.Join(rows, ";")
		if err != nil {
			got = outcome(sqltypes.Text, nil, err)
		}
		if got != tc.want {
			t.Errorf("%s(%s): got %s, want %s", f.Name, tc.args, got, tc.want)
		}
	}
	n := 0
	f := TableFuncsByName("pg_get_keywords")[0]
	if err := f.Eval(&Ctx{}, nil, nil, func([]sqltypes.Datum) error { n++; return nil }); err != nil || n != 460 {
		t.Errorf("pg_get_keywords: %d rows, %v", n, err)
	}
}
