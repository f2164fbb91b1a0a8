package batch

import "github.com/millrace/millrace/internal/delta"

// listNotIn lists, for NOT IN, the build rows whose comparison with row i is not false: those of its group, those with
// a NULL, and, when row i has a NULL itself, all. Keys compared null-safe and the condition are the correlation of the
// subquery: there, unknown means no.
func (j *hashJoin) listNotIn(i int32) bool {
	b := &j.build
	lists := &j.candidates
	lists[0], lists[1] = nil, nil
	switch id := j.ids[j.k]; {
	case j.hasNull(i):
		lists[0] = b.all
	default:
		if id != noGroup {
			lists[0] = b.order[b.starts[id]:b.starts[id+1]]
		}
		lists[1] = b.nullRows
	}
	n := len(lists[0])
	for looked := 0; j.pos < n+len(lists[1]); j.pos++ {
		if looked++; len(j.pairK) >= delta.BatchRows || looked > lookRows {
			return false
		}
		var r int32
		if j.pos < n {
			r = lists[0][j.pos]
		} else {
			r = lists[1][j.pos-n]
		}
		if !j.possible(i, r) {
			continue
		}
		j.pairK = append(j.pairK, int32(j.k))
		j.pairProbe = append(j.pairProbe, i)
		j.pairBuild = append(j.pairBuild, r)
		if j.conds == nil {
			return true // one is enough
		}
	}
	return true
}

// lookRows bounds the comparisons between two looks at the context. It counts for each probe row anew, so that a batch
// makes at most lookRows × delta.BatchRows when nearly all rows hold NULLs, and far fewer otherwise.
const lookRows = 1 << 14

// hasNull reports whether a key of probe row i that is not null-safe is NULL.
func (j *hashJoin) hasNull(i int32) bool {
	for x, c := range j.n.LeftKeys {
		if (j.n.NullSafe == nil || !j.n.NullSafe[x]) && j.cur.Cols[c].IsNull(int(i)) {
			return true
		}
	}
	return false
}

// possible reports whether no key comparison of probe row i with build row r is false.
func (j *hashJoin) possible(i, r int32) bool {
	for x, c := range j.n.LeftKeys {
		p, b := j.cur.Cols[c], j.build.rows.Cols[j.n.RightKeys[x]]
		pn, bn := p.IsNull(int(i)), b.IsNull(int(r))
		if pn || bn {
			if j.n.NullSafe != nil && j.n.NullSafe[x] && pn != bn {
				return false
			}
			continue
		}
		cmp := comparer{class: j.build.table.classes[x]}
		if cmp.compare(p, int(i), b, int(r)) != 0 {
			return false
		}
	}
	return true
}
