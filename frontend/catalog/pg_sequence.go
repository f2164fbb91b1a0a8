package catalog

import (
	"context"
	"strconv"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqltypes"
)

func (f *facts) sequences() []*catalog.Relation {
	var out []*catalog.Relation
	for _, r := range f.relations() {
		if r.Kind == catalog.Sequence {
			out = append(out, r)
		}
	}
	return out
}

func pgSequenceRows(w *writer, f *facts) {
	for _, r := range f.sequences() {
		d := r.Sequence
		w.add(row{"seqrelid": r.ID, "seqtypid": d.Type.OID(), "seqstart": d.Start, "seqincrement": d.Increment, "seqmax": d.Max, "seqmin": d.Min,
			"seqcache": d.Cache, "seqcycle": d.Cycle})
	}
}

func pgSequencesRows(w *writer, f *facts) {
	for _, r := range f.sequences() {
		d := r.Sequence
		v := row{"schemaname": r.Schema, "sequencename": r.Name, "sequenceowner": r.Owner, "data_type": d.Type.OID(), "start_value": d.Start,
			"min_value": d.Min, "max_value": d.Max, "increment_by": d.Increment, "cycle": d.Cycle, "cache_size": d.Cache}
		if st, err := f.store.Value(context.Background(), r); err == nil && st.Called {
			v["last_value"] = st.Last
		}
		w.add(v)
	}
}

func infoSequenceRows(w *writer, f *facts) {
	for _, r := range f.sequences() {
		d := r.Sequence
		if d.Identity {
			continue
		}
		text := func(n int64) string { return strconv.FormatInt(n, 10) }
		w.add(row{"sequence_catalog": f.snap.Database, "sequence_schema": r.Schema, "sequence_name": r.Name, "data_type": d.Type.String(),
			"numeric_precision": 8 * int(d.Type.Len()), "numeric_precision_radix": 2, "numeric_scale": 0, "start_value": text(d.Start),
			"minimum_value": text(d.Min), "maximum_value": text(d.Max), "increment": text(d.Increment), "cycle_option": yesNo(d.Cycle)})
	}
}

// sequenceAttributeRows lists what SELECT * FROM a sequence shows.
func sequenceAttributeRows(w *writer, f *facts) {
	for _, r := range f.sequences() {
		w.add(attribute(int64(r.ID), 1, "last_value", sqltypes.Int8, true))
		w.add(attribute(int64(r.ID), 2, "log_cnt", sqltypes.Int8, true))
		w.add(attribute(int64(r.ID), 3, "is_called", sqltypes.Bool, true))
	}
}
