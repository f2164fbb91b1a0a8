package stream

import (
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/sqltypes"
	"github.com/millrace/millrace/storage/key"
)

// winSide is one version of the partition being evaluated: what was, or what is.
type winSide struct {
	w      *window
	ver    state.Version
	pk     []byte
	size   int64 // rows
	groups int64 // −1: not counted yet
	pos    int64 // of the row taken next, from 0
	states []winState
	// The batch: row ents[i] of it stands at position at[i]; there are no gaps. out holds a value of each function.
	ents []int32
	at   []int64
	out  []*delta.Vec
	// Found when asked for: where each row's peers begin and end, and the number of their group.
	starts, ends, numbers []int64
}

// winState is what a function remembers of one version from row to row. It stays true from batch to batch.
type winState struct {
	src rowSource
	agg aggRun
}

// rowSource stands on a row outside of the batch.
type rowSource struct {
	c    *state.Cursor
	pos  int64
	copy int64 // of the entry
}

func newWinSide(w *window, v state.Version) *winSide {
	return &winSide{w: w, ver: v, states: make([]winState, len(w.funcs)), out: make([]*delta.Vec, len(w.funcs))}
}

// begin turns to a partition.
func (s *winSide) begin(pk []byte) {
	s.pk, s.pos, s.groups = pk, 0, -1
	s.size = s.w.rows.CountRange(s.ver, pk, key.PrefixEnd(pk))
	for i := range s.states {
		s.states[i] = winState{}
	}
	s.forget()
}

// forget empties the batch.
func (s *winSide) forget() {
	s.ents, s.at = s.ents[:0], s.at[:0]
	s.starts, s.ends, s.numbers = s.starts[:0], s.ends[:0], s.numbers[:0]
}

// take adds a copy of row ent and returns its place.
func (s *winSide) take(ent int32) int32 {
	s.ents, s.at = append(s.ents, ent), append(s.at, s.pos)
	s.pos++
	return int32(len(s.ents) - 1)
}

// sign is the weight that the version's rows leave with.
func (s *winSide) sign() int64 {
	if s.ver == state.Before {
		return -1
	}
	return 1
}

// eval computes the functions for the batch.
func (s *winSide) eval() error {
	for i, f := range s.w.funcs {
		if s.out[i] == nil {
			s.out[i] = newVecs([]sqltypes.Type{f.n.Result})[0]
		}
		clearVecs(s.out[i : i+1]) // what left of the last batch are copies
		if len(s.ents) == 0 {
			continue
		}
		if err := f.kernel.eval(s, &s.states[i], s.out[i]); err != nil {
			return err
		}
	}
	for _, e := range s.w.env.Ctx.TakeErrs() {
		s.w.env.fail(s.sign(), e.Err)
	}
	return nil
}

func (s *winSide) peers(i int) []byte { return s.w.ents[s.ents[i]].peers() }

func (s *winSide) samePeers(i, k int) bool {
	return s.ents[i] == s.ents[k] || string(s.peers(i)) == string(s.peers(k))
}

// peerStarts returns, for each row, the position of its first peer.
func (s *winSide) peerStarts() []int64 {
	for i := len(s.starts); i < len(s.ents); i++ {
		switch {
		case i == 0:
			s.starts = append(s.starts, s.w.rows.CountRange(s.ver, s.pk, s.peers(0)))
		case s.samePeers(i, i-1):
			s.starts = append(s.starts, s.starts[i-1])
		default:
			s.starts = append(s.starts, s.at[i])
		}
	}
	return s.starts
}

// peerEnds returns, for each row, the position behind its last peer.
func (s *winSide) peerEnds() []int64 {
	if len(s.ends) > 0 {
		return s.ends
	}
	s.ends = append(s.ends, s.at...)
	last := len(s.ends) - 1
	s.ends[last] = s.w.rows.CountRange(s.ver, s.pk, key.PrefixEnd(s.peers(last)))
	for i := last - 1; i >= 0; i-- {
		s.ends[i] = s.at[i+1]
		if s.samePeers(i, i+1) {
			s.ends[i] = s.ends[i+1]
		}
	}
	return s.ends
}

// groupNumbers returns, for each row, the number of its peer group, from 0.
func (s *winSide) groupNumbers() []int64 {
	for i := len(s.numbers); i < len(s.ents); i++ {
		switch {
		case i == 0:
			s.numbers = append(s.numbers, s.w.groups.CountRange(s.ver, s.pk, s.peers(0)))
		case s.samePeers(i, i-1):
			s.numbers = append(s.numbers, s.numbers[i-1])
		default:
			s.numbers = append(s.numbers, s.numbers[i-1]+1)
		}
	}
	return s.numbers
}

func (s *winSide) groupCount() int64 {
	if s.groups < 0 {
		s.groups = s.w.groups.CountRange(s.ver, s.pk, key.PrefixEnd(s.pk))
	}
	return s.groups
}

// groupStart returns the position of the first row of group n; the partition's end if there is no such group.
func (s *winSide) groupStart(n int64) int64 {
	switch {
	case n <= 0:
		return 0
	case n >= s.groupCount():
		return s.size
	}
	c, _ := s.w.groups.Select(s.ver, s.pk, n)
	return s.w.rows.CountRange(s.ver, s.pk, c.Key())
}

// stepRows is how many rows a source goes on by steps rather than search.
const stepRows = 8

// fetch appends a column of the row at a position.
func (s *winSide) fetch(src *rowSource, pos int64, col int, out *delta.Vec) error {
	if len(s.at) > 0 {
		if i := pos - s.at[0]; i >= 0 && i < int64(len(s.at)) {
			out.AppendFrom(s.w.vecs[col], int(s.ents[i]))
			return nil
		}
	}
	if src.c == nil || pos < src.pos || pos-src.pos > stepRows {
		src.c, src.copy = s.w.rows.Select(s.ver, s.pk, pos)
		src.pos = pos
	}
	for ; src.pos < pos; src.pos++ {
		src.copy++
		for src.copy >= src.c.Weight(s.ver) {
			src.copy = 0
			for src.c.Next(); src.c.Weight(s.ver) == 0; {
				src.c.Next()
			}
		}
	}
	vecs := make([]*delta.Vec, len(s.w.types))
	vecs[col] = out
	return decodeImage(entryImage(src.c.Key(), src.c.Value()), s.w.types, vecs)
}
