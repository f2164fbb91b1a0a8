package job

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/row"
)

// TestCommandsNet: whatever an epoch's commands are, what is left of them per key, applied to what was stored before, is the same
// as the commands applied one by one.
func TestCommandsNet(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		before := map[int64][2]int64{}
		for range rnd.IntN(6) {
			before[int64(rnd.IntN(6))] = [2]int64{rnd.Int64N(100), rnd.Int64N(100)}
		}
		now := map[int64][2]int64{}
		for k, v := range before {
			now[k] = v
		}
		x := newCommands(&Layout{Key: row.Cols(0)}, false)
		types := []sqltypes.Type{sqltypes.Int8, sqltypes.Int8, sqltypes.Int8, sqltypes.Bytea}
		b := delta.NewBuilder(types)
		text := ""
		add := func(k, v, w int64, weight int64, control []byte) {
			text += fmt.Sprintf("%+d(%d,%d,%d)%q ", weight, k, v, w, control)
			b.Col(0).AppendInt(k)
			b.Col(1).AppendInt(v)
			b.Col(2).AppendInt(w)
			if control == nil {
				b.Col(3).AppendNull()
			} else {
				b.Col(3).AppendBytes(control)
			}
			b.EndRow(weight)
		}
		for range rnd.IntN(12) {
			k, v, w := int64(rnd.IntN(6)), rnd.Int64N(100), rnd.Int64N(100)
			old, had := now[k]
			to := int64(rnd.IntN(6))
			_, taken := now[to]
			switch n := rnd.IntN(8); {
			case n < 2:
				add(k, v, w, 1, nil)
				now[k] = [2]int64{v, w}
			case n < 4 && had:
				add(k, v, 0, 1, []byte{connector.ControlKeep, 1 << 2})
				now[k] = [2]int64{v, old[1]}
			case n < 5 && had:
				add(k, 0, 0, -1, nil)
				delete(now, k)
			case n < 7 && had && !taken:
				add(k, 0, 0, -1, nil)
				add(to, v, 0, 1, []byte{connector.ControlMove, 1 << 2})
				delete(now, k)
				now[to] = [2]int64{v, old[1]}
			case n == 7 && rnd.IntN(4) == 0:
				add(0, 0, 0, -1, []byte{connector.ControlTruncate})
				clear(now)
			}
			if rnd.IntN(3) == 0 {
				addTaken(&x, b)
			}
		}
		addTaken(&x, b)
		got := map[int64][2]int64{}
		if !x.truncated {
			for k, v := range before {
				got[k] = v
			}
		}
		byKey := func(k string) ([2]int64, bool) {
			for n, v := range before {
				key := row.AppendKey(nil, []*delta.Vec{delta.IntVec(sqltypes.Int8, []int64{n})}, row.Cols(0), 0)
				if string(key) == k {
					return v, !x.truncated
				}
			}
			return [2]int64{}, false
		}
		for _, k := range x.order {
			cmd := x.last[k]
			id := cmd.c.Cols[0].Ints[cmd.row]
			if !cmd.put {
				delete(got, id)
				continue
			}
			v := [2]int64{cmd.c.Cols[1].Ints[cmd.row], cmd.c.Cols[2].Ints[cmd.row]}
			if cmd.keep != nil && cmd.keep[0]&(1<<2) != 0 {
				from := cmd.from
				if from == "" {
					from = k
				}
				if old, ok := byKey(from); ok {
					v[1] = old[1]
				}
			}
			got[id] = v
		}
		if fmt.Sprint(got) != fmt.Sprint(now) {
			t.Fatalf("seed %d: before %v, commands %s: %v, want %v", seed, before, text, got, now)
		}
	}
}

func addTaken(x *commands, b *delta.Builder) {
	c := b.Take()
	if c == nil {
		return
	}
	x.add(c.WithCols(c.Cols[:3]), c.Cols[3])
}
