package job

import (
	"encoding/binary"
	"fmt"

	"github.com/millrace/millrace/executor/changelog"
	"github.com/millrace/millrace/executor/state"
	"github.com/millrace/millrace/executor/stream"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/storage/change"
	"github.com/millrace/millrace/storage/key"
	"github.com/millrace/millrace/storage/row"
	"github.com/millrace/millrace/storage/table"
)

// materialize is the root of a job that keeps a relation: at each barrier it turns the epoch's net change
// into a layer for readers and a changelog entry for subscribers.
type materialize struct {
	env     *stream.Env
	rel     *catalog.Relation
	tables  *table.Store
	log     *changelog.Log
	layout  Layout
	cons    *stream.Consolidator
	pass    []*delta.Chunk // append-only input: passed on as it is
	mode    materializeMode
	counts  *state.Map // bag: weight per row hash
	nextRow uint64     // numbered: next row number
	vnodes  []uint16   // numbered: this actor's, which take turns
	writer  row.BlockWriter
	block   []byte // scratch: a key and a value
	number8 []byte
	cmds    commands
	// captured: input rows have a control column behind those of the relation.
	captured  bool
	truncated bool // captured, without a key: all rows stored before are gone
	read      bool // this epoch's changes are read by somebody
	out       *delta.Builder
	saved     *change.Set // snapshot phase: what Flush hands out
	marks     stream.Marks
}

type materializeMode uint8

const (
	keyed     materializeMode = iota // net rows replace each other by key
	bag                              // rows with multiplicities
	numbered                         // append-only without a key: rows get numbers
	appended                         // append-only with a unique key: nothing to net
	upserting                        // upserts, resolved against what is stored
)

func newMaterialize(n *plan.Materialize, rel *catalog.Relation, cfg *Config, env *stream.Env, partition int) *materialize {
	m := &materialize{env: env, rel: rel, tables: cfg.Tables, log: cfg.Logs[partition], layout: NewLayout(rel),
		out: delta.NewBuilder(rel.Types()), captured: n.Captured}
	appendOnly := env.AppendOnly(n.Input)
	switch {
	case n.Commands || n.OnConflict != "":
		m.mode = upserting
		m.cmds = newCommands(&m.layout, n.OnConflict == "ignore")
	case len(n.Key) == 0 && appendOnly:
		m.mode = numbered
		m.nextRow = uint64(env.StartEpoch) << 20
		for v := range uint16(row.VNodes) {
			if env.Owns(v) {
				m.vnodes = append(m.vnodes, v)
			}
		}
	case len(n.Key) == 0:
		m.mode = bag
		m.cons = stream.NewConsolidator(nil)
		m.counts = m.newCounts()
	case appendOnly:
		m.mode = appended
	default:
		m.mode = keyed
		m.cons = stream.NewConsolidator(m.layout.Key)
	}
	return m
}

// newCounts makes the weights of a bag: they are part of the relation's rows.
func (m *materialize) newCounts() *state.Map {
	cfg := m.env.Table(0)
	cfg.Table = uint32(m.rel.ID)
	return state.NewMap(cfg, 16, 8)
}

// evict forgets what the store has.
func (m *materialize) evict() {
	if m.counts != nil {
		m.counts = m.newCounts()
	}
}

// OnDelta implements stream.Operator.
func (m *materialize) OnDelta(_ int, c *delta.Chunk, _ stream.Emit) error {
	if m.captured {
		return m.take(c)
	}
	switch m.mode {
	case upserting:
		n := len(m.rel.Columns)
		if len(c.Cols) == n {
			m.cmds.add(c, nil)
			break
		}
		m.cmds.add(c.WithCols(c.Cols[:n]), c.Cols[n])
	case numbered, appended:
		m.pass = append(m.pass, c)
	default:
		m.cons.Add(c)
	}
	return nil
}

// OnWatermarks implements stream.Watermarker: they go on to those who read the relation.
func (m *materialize) OnWatermarks(_ int, marks stream.Marks) { m.marks = marks }

// OnBarrier implements stream.Operator.
func (m *materialize) OnBarrier(b stream.Barrier, _ stream.Emit) error {
	set := &change.Set{}
	first := m.nextRow
	m.read = !b.Snapshot && m.log.Read()
	var chunks []*delta.Chunk
	var err error
	switch {
	case b.Bulk != nil:
		chunks, err = m.bulk(&b, set)
		b.Bulk = nil // nobody reads it downstream
	case m.mode == numbered || m.mode == appended:
		chunks = m.passOn(set)
	case m.mode == upserting:
		chunks, err = m.resolve(set)
	case m.mode == bag:
		chunks, err = m.bag(set)
	default:
		chunks, err = m.keyed(set)
	}
	if err != nil {
		return err
	}
	if b.Snapshot {
		m.saved = set
		return nil
	}
	layer := table.NewLayer(uint64(b.Epoch), set)
	if m.mode == numbered {
		layer.Rows = int(m.nextRow - first)
	}
	m.tables.Apply(m.rel.ID, layer)
	m.log.Append(changelog.Entry{Barrier: b, Chunks: chunks, Marks: m.marks})
	return nil
}

// vnodeRun is how many numbered rows in a row lie in one vnode: they reach the store as they came, in long runs, and are still spread over
// all vnodes.
const vnodeRun = 4096

func (m *materialize) passOn(set *change.Set) []*delta.Chunk {
	if m.mode == numbered {
		m.number(set)
	} else {
		m.append(set)
	}
	out := m.pass
	m.pass = nil
	return out
}

func (m *materialize) append(set *change.Set) {
	var k, val []byte
	for _, c := range m.pass {
		for j := range c.Len() {
			i := c.Row(j)
			k = row.AppendKey(k[:0], c.Cols, m.layout.Key, i)
			val = m.layout.AppendValue(val[:0], c.Cols, i, 1)
			set.Put(uint32(m.rel.ID), m.layout.VNode(c.Cols, i), k, val)
		}
	}
}

// A block has at most blockRows rows, and fewer where they are wide: about blockBytes, which a reader takes at once. Chunks of
// fewer rows than fewRows share blocks.
const (
	blockRows  = 1024
	blockBytes = 64 << 10
	fewRows    = 64
)

// number writes the epoch's rows as blocks.
func (m *materialize) number(set *change.Set) {
	var few *delta.Builder
	for _, c := range m.pass {
		if c.Len() >= fewRows {
			m.blocks(set, c)
			continue
		}
		if few == nil {
			few = delta.NewBuilder(m.rel.Types())
		}
		for k := range c.Len() {
			few.AppendRow(c, c.Row(k), 1)
		}
		if few.Len() >= blockRows {
			m.blocks(set, few.Take())
		}
	}
	if few != nil {
		if c := few.Take(); c != nil {
			m.blocks(set, c)
		}
	}
}

// blocks writes a chunk's rows. A block lies in one vnode.
func (m *materialize) blocks(set *change.Set, c *delta.Chunk) {
	most := min(blockRows, max(1, blockBytes*c.Rows/max(1, c.SizeBytes())))
	for rows := c.RowList(); len(rows) > 0; {
		n := min(len(rows), most, int(vnodeRun-m.nextRow%vnodeRun))
		vnode := m.vnodes[m.nextRow/vnodeRun%uint64(len(m.vnodes))]
		m.number8 = binary.BigEndian.AppendUint64(m.number8[:0], m.nextRow)
		m.block = m.layout.AppendBlock(m.block[:0], &m.writer, c.Cols, rows[:n])
		set.Put(uint32(m.rel.ID), vnode, m.number8, m.block)
		m.nextRow += uint64(n)
		rows = rows[n:]
	}
}

func (m *materialize) keyed(set *change.Set) ([]*delta.Chunk, error) {
	var chunks []*delta.Chunk
	var val []byte
	err := m.cons.Net(func(k []byte, _ uint64, rows []stream.NetRow) error {
		var put *stream.NetRow
		for i := range rows {
			if rows[i].Weight > 0 {
				if put != nil || rows[i].Weight > 1 {
					return fmt.Errorf("materialize relation %d: two rows with one key at the end of an epoch", m.rel.ID)
				}
				put = &rows[i]
			}
			chunks = m.emit(chunks, rows[i])
		}
		vnode := m.layout.VNode(rows[0].Chunk.Cols, rows[0].Row)
		if put == nil {
			set.Delete(uint32(m.rel.ID), vnode, k)
			return nil
		}
		val = m.layout.AppendImageValue(val[:0], put.Image, 1)
		set.Put(uint32(m.rel.ID), vnode, k, val)
		return nil
	})
	m.cons.Reset()
	return m.last(chunks), err
}

func (m *materialize) bag(set *change.Set) ([]*delta.Chunk, error) {
	if m.truncated {
		return m.bagAnew(set)
	}
	var chunks []*delta.Chunk
	var val []byte
	err := m.cons.Net(func(k []byte, hash uint64, rows []stream.NetRow) error {
		r := rows[0]
		vnode := m.layout.VNode(r.Chunk.Cols, r.Row)
		chunks = m.emit(chunks, r)
		return m.weighRow(set, vnode, k, hash, r, &val)
	})
	m.cons.Reset()
	return m.last(chunks), err
}

// weighRow changes the weight of a row of a bag.
func (m *materialize) weighRow(set *change.Set, vnode uint16, k []byte, hash uint64, r stream.NetRow, val *[]byte) error {
	image := bagImage{int(m.rel.SchemaVersion), r.Image}
	left, err := m.weigh(set, vnode, k, hash, image, r.Weight, val)
	for v := int(m.rel.SchemaVersion) - 1; left < 0 && err == nil && v >= 0; v-- {
		left, err = m.weighOlder(set, v, r, left, val)
	}
	if left < 0 && err == nil {
		err = fmt.Errorf("materialize relation %d: a row's weight is %d at the end of an epoch", m.rel.ID, left)
	}
	return err
}

// bagImage is a row of a bag as it is stored: in the form of a schema version.
type bagImage struct {
	version int
	image   []byte
}

// weigh adds w to the weight of a stored row of a bag. It returns what cannot be taken from it: 0, or less.
func (m *materialize) weigh(set *change.Set, vnode uint16, k []byte, hash uint64, r bagImage, w int64, val *[]byte) (left int64, err error) {
	s, created, err := m.counts.Upsert(hash, vnode, k)
	if err != nil {
		return 0, err
	}
	v := m.counts.Value(s)
	n := int64(binary.LittleEndian.Uint64(v)) + w
	if n < 0 {
		n, left = 0, n
	}
	binary.LittleEndian.PutUint64(v, uint64(n))
	m.counts.MarkDirty(s)
	if n > 0 {
		*val = append(m.layout.appendHead((*val)[:0], r.version, n), r.image...)
		set.Put(uint32(m.rel.ID), vnode, k, *val)
		return left, nil
	}
	m.counts.Delete(s)
	if !created {
		set.Delete(uint32(m.rel.ID), vnode, k)
	}
	return left, nil
}

// weighOlder takes from the row as it was stored before columns were added to the relation: then their values are NULL.
func (m *materialize) weighOlder(set *change.Set, version int, r stream.NetRow, w int64, val *[]byte) (left int64, err error) {
	vnode, k, image, ok := m.layout.OlderKey(version, r.Chunk.Cols, r.Row)
	if !ok {
		return w, nil
	}
	return m.weigh(set, vnode, k, key.Hash(k), bagImage{version, image}, w, val)
}

func (m *materialize) emit(chunks []*delta.Chunk, r stream.NetRow) []*delta.Chunk {
	if !m.read {
		return nil
	}
	m.out.AppendRow(r.Chunk, r.Row, r.Weight)
	if m.out.Len() >= delta.BatchRows {
		chunks = append(chunks, m.out.Take())
	}
	return chunks
}

func (m *materialize) last(chunks []*delta.Chunk) []*delta.Chunk {
	if c := m.out.Take(); c != nil {
		chunks = append(chunks, c)
	}
	return chunks
}

// Flush implements stream.Operator. The relation's rows are saved from its layers; the counts of a bag are
// part of them, so their container only settles its own books.
func (m *materialize) Flush(d *state.Delta) {
	if m.saved != nil {
		d.Append(m.saved)
		m.saved = nil
	}
	if m.counts != nil {
		m.counts.Flush(&state.Delta{})
	}
}

// Stats implements stream.Operator.
func (m *materialize) Stats() state.Stats {
	if m.counts != nil {
		return m.counts.Stats()
	}
	return state.Stats{}
}
