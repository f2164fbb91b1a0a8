package session

import (
	"github.com/millrace/millrace/frontend/pgwire"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/expr"
	"github.com/millrace/millrace/internal/plan"
)

// setOrigins notes which result columns are plain columns of tables: drivers look their tables up, to change rows
// through a result. used are the relations that the query names; a view hides what it is made from.
func setOrigins(cols []pgwire.Column, n plan.Node, snap *catalog.Snapshot, used []catalog.ID) {
	for _, id := range used {
		if r := snap.Relations[id]; r != nil && r.Kind == catalog.View {
			return
		}
	}
	for i := range cols {
		if r, k := originOf(n, i, snap); r != nil {
			cols[i].TableOID, cols[i].AttNum = uint32(r.ID), uint16(r.Columns[k].ID)
		}
	}
}

// originOf follows column i down to the relation that it comes from; nil if it is computed.
func originOf(n plan.Node, i int, snap *catalog.Snapshot) (*catalog.Relation, int) {
	for {
		switch x := n.(type) {
		case *plan.Project:
			c, ok := x.Exprs[i].(*expr.Col)
			if !ok {
				return nil, 0
			}
			n, i = x.Input, c.Index
		case *plan.Filter:
			n = x.Input
		case *plan.Sort:
			n = x.Input
		case *plan.Limit:
			n = x.Input
		case *plan.Join:
			if w := len(x.Left.Columns()); i < w {
				n = x.Left
			} else {
				n, i = x.Right, i-w
			}
		case *plan.TableScan:
			r := snap.Relations[x.Table]
			if r == nil || i >= len(x.Cols) {
				return nil, 0
			}
			return r, x.Cols[i]
		default:
			return nil, 0
		}
	}
}
