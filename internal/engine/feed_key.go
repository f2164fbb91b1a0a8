package engine

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/storage/row"
)

// KeyChange is what an epoch does to a key.
type KeyChange struct {
	// Chunk and Row are a row with the key: one that has come, if one has.
	Chunk *delta.Chunk
	Row   int
	// Inserts is how many rows with the key have come.
	Inserts int64
}

// ByKey groups the net changes of an epoch by columns, in order of their first appearance.
func ByKey(chunks []*delta.Chunk, key []int) []KeyChange {
	at := map[string]int{}
	var out []KeyChange
	cols := row.Cols(key...)
	var k []byte
	for _, c := range chunks {
		for j := range c.Len() {
			i := c.Row(j)
			k = row.AppendKey(k[:0], c.Cols, cols, i)
			n, ok := at[string(k)]
			if !ok {
				n = len(out)
				at[string(k)] = n
				out = append(out, KeyChange{Chunk: c, Row: i})
			}
			if w := c.Weight(i); w > 0 {
				out[n] = KeyChange{c, i, out[n].Inserts + w}
			}
		}
	}
	return out
}
