package expr

import (
	"bytes"
	"reflect"

	"github.com/millrace/millrace/internal/sqltypes"
)

// Same reports whether two expressions are the same, names of columns aside. special, which may be nil, decides about node
// types that only the caller knows.
func Same(a, b Expr, special func(a, b Expr) (same, known bool)) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	if a.Type() != b.Type() && a.Type().Kind != sqltypes.KRecord {
		return false
	}
	if special != nil {
		if same, known := special(a, b); known {
			return same
		}
	}
	if reflect.TypeOf(a) != reflect.TypeOf(b) || !sameHead(a, b) {
		return false
	}
	x, y := Children(a), Children(b)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		if !Same(x[i], y[i], special) {
			return false
		}
	}
	return true
}

// sameHead compares what two nodes of one Go type hold besides children and type.
func sameHead(a, b Expr) bool {
	switch x := a.(type) {
	case *Col:
		return x.Index == b.(*Col).Index
	case *Const:
		return sameDatum(x.Val, b.(*Const).Val)
	case *Param:
		return x.Index == b.(*Param).Index
	case *Call:
		return x.Sig == b.(*Call).Sig
	case *SQLCall:
		return x.Func == b.(*SQLCall).Func
	case *Cast:
		return x.Explicit == b.(*Cast).Explicit
	case *ToDomain:
		y := b.(*ToDomain)
		return x.Explicit == y.Explicit && sameRules(x.Rules, y.Rules)
	case *BoolOp:
		return x.Or == b.(*BoolOp).Or
	case *IsNull:
		return x.Negate == b.(*IsNull).Negate
	case *Case:
		y := b.(*Case)
		return len(x.Whens) == len(y.Whens) && (x.Else == nil) == (y.Else == nil)
	case *InList:
		y := b.(*InList)
		if x.Negate != y.Negate || x.HasNull != y.HasNull || len(x.Vals) != len(y.Vals) {
			return false
		}
		for i := range x.Vals {
			if !sameDatum(x.Vals[i], y.Vals[i]) {
				return false
			}
		}
	case *AnyAll:
		y := b.(*AnyAll)
		return x.Sig == y.Sig && x.All == y.All
	case *MakeArray:
		return x.Nested == b.(*MakeArray).Nested
	case *Field:
		return x.Index == b.(*Field).Index
	}
	return true
}

func sameDatum(a, b sqltypes.Datum) bool {
	x, xok := rawBytes(a)
	y, yok := rawBytes(b)
	if xok || yok {
		return xok && yok && bytes.Equal(x, y)
	}
	return reflect.DeepEqual(a, b)
}

func rawBytes(d sqltypes.Datum) ([]byte, bool) {
	switch v := d.(type) {
	case []byte:
		return v, true
	case string:
		return []byte(v), true
	}
	return nil, false
}
