package expr

import (
	"bytes"
	"encoding/gob"
	"testing"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// positive is a domain over int4 with one check; pair is one over int4[].
func testDomains() (positive, pair sqltypes.Type) {
	positive = sqltypes.Named(sqltypes.KInt4, 77001)
	positive.Define(&sqltypes.Def{Name: "positive", Schema: "s", OID: 77001, ArrayOID: 77002, Base: sqltypes.Int4})
	pair = sqltypes.Named(sqltypes.KArray, 77003)
	pair.Elem = sqltypes.KInt4
	pair.Define(&sqltypes.Def{Name: "pair", Schema: "s", OID: 77003, ArrayOID: 77004, Base: sqltypes.ArrayOf(sqltypes.Int4)})
	return positive, pair
}

func positiveRule(domain sqltypes.Type) DomainRule {
	gt, _ := BySig(">(integer,integer)")
	return DomainRule{Domain: domain, NotNull: true, Checks: []DomainCheck{
		{Name: "pos", Cond: NewCall(gt, &Col{Index: 0, Ty: sqltypes.Int4}, &Const{Ty: sqltypes.Int4, Val: int64(0)})}}}
}

func TestDomainTypes(t *testing.T) {
	positive, pair := testDomains()
	for _, c := range []struct {
		name             string
		t                sqltypes.Type
		domain, parts    bool
		text             string
		oid              uint32
		underlying, elem sqltypes.Type
	}{
		{"base", sqltypes.Int4, false, false, "integer", 23, sqltypes.Int4, sqltypes.Type{}},
		{"domain", positive, true, true, "positive", 77001, sqltypes.Int4, sqltypes.Type{}},
		{"array of a domain", sqltypes.ArrayOf(positive), false, true, "positive[]", 77002, sqltypes.ArrayOf(positive), positive},
		{"domain over an array", pair, true, true, "pair", 77003, sqltypes.ArrayOf(sqltypes.Int4), sqltypes.Int4},
		{"array of a domain over an array", sqltypes.ArrayOf(pair), false, true, "pair[]", 77004, sqltypes.ArrayOf(pair), pair},
	} {
		if c.t.IsDomain() != c.domain || c.t.MadeOfDomains() != c.parts || c.t.String() != c.text || c.t.OID() != c.oid || c.t.Underlying() != c.underlying {
			t.Errorf("%s: domain %v, made of domains %v, %s, OID %d, over %v", c.name, c.t.IsDomain(), c.t.MadeOfDomains(), c.t, c.t.OID(), c.t.Underlying())
		}
		if c.t.Kind == sqltypes.KArray && c.t.ElemType() != c.elem {
			t.Errorf("%s: elements are %v, want %v", c.name, c.t.ElemType(), c.elem)
		}
	}
}

func TestToDomain(t *testing.T) {
	positive, _ := testDomains()
	in := delta.NewBuilder([]sqltypes.Type{sqltypes.Int4})
	for _, v := range []sqltypes.Datum{int64(5), int64(-1), nil, int64(-2), int64(7)} {
		in.Col(0).AppendDatum(v)
		in.EndRow(1)
	}
	ch := in.Take().WithSel([]int32{0, 1, 2, 4}) // the row of -2 is not looked at
	p, err := Compile(&ToDomain{Arg: &Col{Index: 0, Ty: sqltypes.Int4}, Ty: positive, Rules: []DomainRule{positiveRule(positive)}})
	if err != nil {
		t.Fatal(err)
	}
	c := &Ctx{}
	out := p.Eval(c, ch)
	if out.Type != positive || out.Datum(0) != int64(5) || !out.IsNull(1) || !out.IsNull(2) || out.Datum(4) != int64(7) {
		t.Errorf("result %v of type %s", out.Ints, out.Type)
	}
	if ch.Cols[0].IsNull(1) || ch.Cols[0].Type != sqltypes.Int4 {
		t.Error("the input column has changed")
	}
	errs := c.TakeErrs()
	want := []struct {
		row  int32
		code sqlerr.Code
		text string
	}{{2, sqlerr.NotNullViolation, "domain positive does not allow null values"}, {1, sqlerr.CheckViolation, `value for domain positive violates check constraint "pos"`}}
	if len(errs) != len(want) {
		t.Fatalf("errors: %v", errs)
	}
	for i, w := range want {
		e := errs[i]
		if e.Row != w.row || e.Err.Code != w.code || e.Err.Message != w.text || e.Err.Schema != "s" || e.Err.DataType != "positive" {
			t.Errorf("error %d: row %d, %v", i, e.Row, e.Err)
		}
	}
}

// Values of domains within a value are tested, and a failing check is that of the whole value.
func TestToDomainParts(t *testing.T) {
	positive, _ := testDomains()
	array := sqltypes.ArrayOf(positive)
	row := sqltypes.StructOf([]sqltypes.RowField{{Name: "a", Type: sqltypes.Text}, {Name: "b", Type: array}})
	of := func(vals ...sqltypes.Datum) sqltypes.Datum {
		return sqlio.EncodeRecord(row, []sqltypes.Datum{"x", sqlio.MakeArray(array, vals)})
	}
	e := func(d sqltypes.Datum) *ToDomain {
		return &ToDomain{Arg: &Const{Ty: row, Val: d}, Ty: row, Rules: []DomainRule{positiveRule(positive)}}
	}
	if d, err := EvalConst(&Ctx{}, e(of(int64(1), int64(2)))); err != nil || sqlio.TextOf(row, d, sqlio.DefaultSettings()) != `(x,"{1,2}")` {
		t.Errorf("%v, %v", d, err)
	}
	for _, bad := range []sqltypes.Datum{of(int64(1), int64(0)), of(nil)} {
		if _, err := EvalConst(&Ctx{}, e(bad)); err == nil {
			t.Errorf("%s passed", sqlio.TextOf(row, bad, sqlio.DefaultSettings()))
		}
	}
}

// A plan keeps the rules that it was made with.
func TestToDomainStored(t *testing.T) {
	RegisterGob()
	positive, _ := testDomains()
	var e Expr = &ToDomain{Arg: &Col{Index: 3, Ty: sqltypes.Int4}, Ty: positive, Rules: []DomainRule{positiveRule(positive)}}
	var buf bytes.Buffer
	if err := gob.NewEncoder(&buf).Encode(&e); err != nil {
		t.Fatal(err)
	}
	var back Expr
	if err := gob.NewDecoder(&buf).Decode(&back); err != nil {
		t.Fatal(err)
	}
	if !Same(e, back, nil) {
		t.Errorf("%#v", back)
	}
	moved := MapColumns(back, func(i int) int { return i + 1 }).(*ToDomain)
	if moved.Arg.(*Col).Index != 4 || moved.Rules[0].Checks[0].Cond.(*Call).Args[0].(*Col).Index != 0 {
		t.Error("a check reads the value, not a column of the input")
	}
	other := *moved
	other.Rules = []DomainRule{{Domain: positive}}
	if Same(moved, &other, nil) {
		t.Error("expressions with different rules are taken for the same")
	}
}
