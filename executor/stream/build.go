package stream

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Build makes the operator for one plan node; its children are built apart and feed its ports in their order.
// Exchanges, scans and the roots of jobs are executor/job's.
func Build(n plan.Node, env *Env) (Operator, error) {
	switch x := n.(type) {
	case *plan.Filter:
		return newFilter(x, env)
	case *plan.Project:
		return newProject(x, env)
	case *plan.PreAgg:
		return newPreAgg(x, env)
	case *plan.Agg:
		return newHashAgg(x, env)
	case *plan.Join:
		if x.Range != nil {
			return newRangeJoin(x, env)
		}
		return newHashJoin(x, env)
	case *plan.DynamicFilter:
		return newDynamicFilter(x, env)
	case *plan.AsofJoin:
		return newAsofJoin(x, env)
	case *plan.TemporalJoin:
		return newTemporalJoin(x, env)
	case *plan.TopN:
		return newTopN(x, env)
	case *plan.SetOp:
		return newSetOp(x, env)
	case *plan.MaxOneRow:
		return newMaxOneRow(x, env)
	case *plan.Window:
		return newWindow(x, env)
	case *plan.Union:
		return union{}, nil
	case *plan.Hop:
		return newHop(x)
	case *plan.Expand:
		return newExpand(x), nil
	case *plan.GapFill:
		return newGapFill(x, env)
	case *plan.Session:
		return newSession(x, env), nil
	case *plan.TemporalFilter:
		return newTemporalFilter(x, env)
	case *plan.EmitOnClose:
		return newEmitOnClose(x, env), nil
	case *plan.TableFunc:
		return newTableFunc(x, env)
	case *plan.Values:
		return newValues(x, env)
	}
	name := strings.TrimPrefix(fmt.Sprintf("%T", n), "*plan.")
	return nil, sqlerr.New(sqlerr.FeatureNotSupported, "%s is not supported in a streaming query", name)
}
