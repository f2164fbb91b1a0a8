package job

import (
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
)

// A large transaction comes to a table's job as a whole, with the barrier of an epoch of its own (stream.Barrier.Bulk): the
// net change of each key, as the store keeps it. A keyed table's readers get these very bytes as a layer, which the
// engine has put in place; what is left to do is the changelog, if anybody reads it. Values replaced are whole
// stored values, too. Other tables get the rows as chunks, in the ordinary way.

// TakesBulk reports whether the job's root takes large transactions as a whole.
func (j *Job) TakesBulk() bool { return j.bulk }

// takesBulk is TakesBulk of a plan: a table that keeps what DML writes, and nothing in between.
func takesBulk(n plan.Node) bool {
	m, ok := n.(*plan.Materialize)
	if !ok || m.Commands || m.Captured || m.OnConflict != "" || plan.AppendOnly(m.Input) {
		return false
	}
	in := m.Input
	if x, ok := in.(*plan.Exchange); ok {
		in = x.Input
	}
	_, ok = in.(*plan.DML)
	return ok
}

// Image returns the image within a stored value of the layout's relation.
func (l *Layout) Image(val []byte) []byte {
	if l.keyless {
		val = val[8:]
	}
	for val[0] >= 0x80 { // the schema version
		val = val[1:]
	}
	return val[1:]
}

// Net calls f for the changes of entry i of a large transaction: stored values with their weights.
func (l *Layout) Net(m *change.Map, i int, f func(val []byte, weight int64) error) error {
	e := m.Entries[i]
	if l.keyless {
		if w := m.Net(i); w != 0 {
			return f(m.ValueOf(e), w)
		}
		return nil
	}
	old, had := m.Old(i)
	if had && !e.Del && string(old) == string(m.ValueOf(e)) {
		return nil
	}
	if had {
		if err := f(old, -1); err != nil {
			return err
		}
	}
	if e.Del {
		return nil
	}
	return f(m.ValueOf(e), 1)
}

// NetChunks yields the changes of a large transaction to the rows of some vnodes; owns is nil for all.
func (l *Layout) NetChunks(m *change.Map, owns func(vnode uint16) bool, yield func(*delta.Chunk) error) error {
	b := delta.NewBuilder(l.types)
	vecs := make([]*delta.Vec, len(l.types))
	add := func(val []byte, weight int64) error {
		for i := range vecs {
			vecs[i] = b.Col(i)
		}
		if _, err := l.Decode(val, vecs); err != nil {
			return err
		}
		b.EndRow(weight)
		if b.Len() < delta.BatchRows {
			return nil
		}
		return yield(b.Take())
	}
	for i, e := range m.Entries {
		_, vnode, _, err := key.Split(m.KeyOf(e))
		if err == nil && (owns == nil || owns(vnode)) {
			err = l.Net(m, i, add)
		}
		if err != nil {
			return err
		}
	}
	if c := b.Take(); c != nil {
		return yield(c)
	}
	return nil
}

// bulk takes a large transaction: into set goes what the engine has not put in place itself.
func (m *materialize) bulk(b *stream.Barrier, set *change.Set) (chunks []*delta.Chunk, err error) {
	if m.mode == bag {
		if err := m.bulkBag(b.Bulk, set); err != nil {
			return nil, err
		}
	}
	if !m.log.Read() {
		return nil, nil
	}
	err = m.layout.NetChunks(b.Bulk, m.env.Owns, func(c *delta.Chunk) error {
		chunks = append(chunks, c)
		return nil
	})
	return chunks, err
}

func (m *materialize) bulkBag(rows *change.Map, set *change.Set) error {
	var val []byte
	for i, e := range rows.Entries {
		_, vnode, k, err := key.Split(rows.KeyOf(e))
		if err != nil {
			return err
		}
		if !m.env.Owns(vnode) {
			continue
		}
		err = m.layout.Net(rows, i, func(stored []byte, w int64) error {
			r := stream.NetRow{Weight: w, Image: m.layout.Image(stored)}
			if w < 0 { // a row as it was before columns were added is found by its values
				c, err := m.layout.DecodeRow(stored)
				if err != nil {
					return err
				}
				r.Chunk = c
			}
			return m.weighRow(set, vnode, k, key.Hash(k), r, &val)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
