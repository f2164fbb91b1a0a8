package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
)

// merger assembles a vector from parts of others: fixed-width values are copied as they come; of bytes it
// remembers where each row comes from until the end. Rows that nobody delivers are NULL.
type merger struct {
	out  *delta.Vec
	from []*delta.Vec
	src  []uint16 // bytes only: 0 is NULL, else index into from plus one
	have []uint64 // rows delivered as not NULL
	rows int      // rows in have
}

func newMerger(ty sqltypes.Type, n int) *merger {
	m := &merger{have: make([]uint64, (n+63)/64)}
	if ty.Phys() == sqltypes.PhysBytes {
		m.out, m.src = delta.NewBytesVec(ty, n, 0), make([]uint16, n)
	} else {
		m.out = delta.NewVec(ty, n)
	}
	return m
}

// take delivers the given rows of v.
func (m *merger) take(v *delta.Vec, rows []int32) {
	switch m.out.Type.Phys() {
	case sqltypes.PhysBool:
		scatter(m.out.Bools, v.Bools, rows)
	case sqltypes.PhysInt64:
		scatter(m.out.Ints, v.Ints, rows)
	case sqltypes.PhysFloat64:
		scatter(m.out.Floats, v.Floats, rows)
	case sqltypes.PhysNumeric:
		scatter(m.out.Decs, v.Decs, rows)
	case sqltypes.PhysInterval:
		scatter(m.out.Intervals, v.Intervals, rows)
	default:
		m.from = append(m.from, v)
		for _, r := range rows {
			m.src[r] = uint16(len(m.from))
		}
	}
	for _, r := range rows {
		if !v.IsNull(int(r)) {
			m.have[uint32(r)>>6] |= 1 << (uint32(r) & 63)
			m.rows++
		}
	}
}

func scatter[T any](dst, src []T, rows []int32) {
	for _, r := range rows {
		dst[r] = src[r]
	}
}

func (m *merger) vec() *delta.Vec {
	for i, k := range m.src {
		if m.have[i>>6]&(1<<(uint(i)&63)) != 0 {
			m.out.AppendBytes(m.from[k-1].Bytes(i))
		} else {
			m.out.EndRow()
		}
	}
	if m.rows < m.out.Len() {
		m.out.Valid = m.have
	}
	return m.out
}

// RowLoop calls row for each selected row in ascending order and pads the rows in between, so that a
// bytes output gets exactly a.N rows. row must append one value to out. Rows that out.Valid marks NULL at the
// start (strict functions) are padded too. Works for PhysBytes outputs only.
func RowLoop(a Args, out *delta.Vec, row func(i int)) {
	strict := out.Valid
	if a.Sel == nil && strict == nil {
		for i := range a.N {
			row(i)
		}
		return
	}
	want := strict
	if a.Sel != nil {
		want = selMask(a.Sel, a.N)
		for w := range strict {
			if w < len(want) {
				want[w] &= strict[w]
			}
		}
	} else {
		want = append([]uint64(nil), strict...) // row may clear bits of out.Valid
	}
	for i := range a.N {
		if want[uint(i)>>6]&(1<<(uint(i)&63)) != 0 {
			row(i)
		} else {
			out.EndRow()
		}
	}
}

// selMask turns a selection, in any order, into a bitmap.
func selMask(sel []int32, n int) []uint64 {
	m := make([]uint64, (n+63)/64)
	for _, i := range sel {
		m[uint(i)>>6] |= 1 << (uint(i) & 63)
	}
	return m
}
