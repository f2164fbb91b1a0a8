package plan

import (
	"github.com/millrace/millrace/internal/expr"
)

// JoinRange are the comparisons of a join's condition between what is computed from one side and what is computed from the other.
// The condition still has them.
type JoinRange struct {
	// Left and Right are over the columns of their side. Rows lie in the order of the first one, under their key.
	Left, Right []expr.Expr
	Compare     []RangeCompare
}

// RangeCompare is Left[Left] Op Right[Right], of one type.
type RangeCompare struct {
	Left, Right int
	Op          string // <, <=, > or >=
}

// Mirrored is the comparison with its sides exchanged.
func Mirrored(op string) string {
	return map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]
}
