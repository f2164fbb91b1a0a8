package plan

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"sync"

	"github.com/millrace/millrace/internal/expr"
)

// formatVersion stands first in every encoded plan; see docs/format/plan.md.
const formatVersion = 1

// register tells gob about every node type, once. A list rather than init, so that it can be read.
var register = sync.OnceFunc(func() {
	expr.RegisterGob()
	for _, n := range []Node{
		&TableScan{}, &SourceScan{}, &DML{}, &Values{}, &Filter{}, &Project{}, &Join{}, &Agg{}, &TopN{},
		&Sort{}, &Limit{}, &Union{}, &SetOp{}, &Window{}, &TableFunc{}, &Hop{}, &MaxOneRow{}, &Exchange{},
		&Materialize{}, &Sink{}, &SystemScan{}, &Expand{}, &Watermark{}, &EmitOnClose{}, &Share{}, &TemporalFilter{},
		&AsofJoin{}, &TemporalJoin{}, &DynamicFilter{}, &Session{}, &GapFill{}, &PreAgg{},
		&Capture{}, &CaptureScan{},
	} {
		gob.Register(n)
	}
})

// Encode serialises a plan: one version byte, then gob, which tolerates fields added later.
func Encode(n Node) ([]byte, error) {
	register()
	var b bytes.Buffer
	b.WriteByte(formatVersion)
	if err := gob.NewEncoder(&b).Encode(&n); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads what Encode wrote, in this or an earlier format version.
func Decode(b []byte) (Node, error) {
	register()
	if len(b) == 0 || b[0] != formatVersion {
		return nil, fmt.Errorf("decode plan: unknown format version")
	}
	var n Node
	if err := gob.NewDecoder(bytes.NewReader(b[1:])).Decode(&n); err != nil {
		return nil, fmt.Errorf("decode plan: %w", err)
	}
	return n, nil
}
