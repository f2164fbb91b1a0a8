package catalog

// The options that limit how many rows a second come from a source or go to a sink.
const (
	SourceRate = "source_rate_limit"
	SinkRate   = "sink_rate_limit"
)

// Rate is how many rows a second the relation lets pass, 0 while it is paused; not ok: it sets no limit.
func (r *Relation) Rate(kind string) (rows int64, ok bool) {
	if r == nil {
		return 0, false
	}
	if r.Paused {
		return 0, true
	}
	rows, ok = r.Rates[kind]
	return rows, ok
}

// RateKind is the option that limits the relation.
func (r *Relation) RateKind() string {
	if r.Kind == Sink {
		return SinkRate
	}
	return SourceRate
}
