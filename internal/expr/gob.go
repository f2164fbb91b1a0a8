package expr

import (
	"encoding/gob"
	"sync"

	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/numeric"
)

// RegisterGob tells encoding/gob about the node types and the Go types of literals; call it before encoding or decoding an Expr.
var RegisterGob = sync.OnceFunc(func() {
	for _, e := range []Expr{&Col{}, &Const{}, &Param{}, &Call{}, &Cast{}, &BoolOp{}, &Not{}, &IsNull{}, &Case{},
		&Coalesce{}, &InList{}, &AnyAll{}, &MakeArray{}, &MakeRow{}, &Field{}, &SQLCall{}, &ToDomain{}} {
		gob.Register(e)
	}
	gob.Register(numeric.Dec{})
	gob.Register(datetime.Interval{})
})
