package expr

import (
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqltypes"
)

// DecTotaler is an AggObject that can take in many numerics at once, summed up.
type DecTotaler interface {
	AddTotal(t *numeric.Total, scale int32)
}

// AddTotal implements DecTotaler.
func (a *decSum) AddTotal(t *numeric.Total, scale int32) {
	a.acc.AddTotal(t, scale)
	a.n += t.Count()
}

// Mergeable reports whether states of the aggregate over any parts of a group, merged, are that over the whole.
func (a *AggFunc) Mergeable(types []sqltypes.Type) bool {
	if a.Fixed != nil {
		return a.Fixed.Merge != nil
	}
	if a.Ordered || a.New == nil {
		return false
	}
	_, ok := a.New(types).(AggMerger)
	return ok
}
