package expr

import "github.com/millrace/millrace/internal/sqltypes"

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
