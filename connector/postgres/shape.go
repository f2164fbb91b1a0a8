package postgres

import (
	"encoding/json"
	"slices"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/internal/catalog"
)

// shape is how an upstream table looked when the table here was brought into line with it. It is what cdc.Table.Known holds, as JSON:
// columns are told apart by their number (attnum), which never changes and is never used again.
type shape struct {
	OID    uint32   `json:"oid"`
	Schema string   `json:"schema"`
	Name   string   `json:"name"`
	File   int64    `json:"file"` // relfilenode: another one, and the table may have been rewritten
	Cols   []column `json:"columns"`
	// Gone are columns that the log may still show.
	Gone   []column `json:"gone,omitempty"`
	Leaves []leaf   `json:"leaves,omitempty"` // of a partitioned table
	// Told are columns of the table here that the upstream has not, which it was asked to drop: views may have kept them.
	Told []string `json:"told,omitempty"`
	// Stale: rows may lack something, and the table is to be read anew, but not before the log has been read up to where it shows this shape:
	// rows that the log touches meanwhile count as newer than what is read.
	Stale bool `json:"stale,omitempty"`
}

// column is a column of an upstream table.
type column struct {
	Num       int16    `json:"n"`
	Name      string   `json:"name"`
	Type      uint32   `json:"type"`
	Mod       int32    `json:"mod"`
	SQL       string   `json:"sql"` // the type as SQL writes it
	NotNull   bool     `json:"notnull"`
	Generated bool     `json:"generated,omitempty"`
	Default   bool     `json:"default,omitempty"` // rows older than the column may hold something
	Version   int64    `json:"version"`           // the transaction that wrote the catalog's row
	Was       []string `json:"was,omitempty"`     // former names, the newest last
}

// leaf is a partition that holds rows.
type leaf struct {
	OID      uint32 `json:"oid"`
	File     int64  `json:"file"`
	Attached bool   `json:"attached"` // it existed, and may have had rows, before it was a partition
	Made     string `json:"made"`     // the transaction that made it
}

// keptNames bounds what a shape remembers of the past.
const keptNames = 16

func (s *shape) encode() []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("postgres: a shape is plain data: " + err.Error())
	}
	return b
}

func decodeShape(b []byte) (*shape, error) {
	s := &shape{}
	return s, json.Unmarshal(b, s)
}

func (s *shape) label() string { return s.Schema + "." + s.Name }

func (s *shape) byNum(n int16) *column {
	for i := range s.Cols {
		if s.Cols[i].Num == n {
			return &s.Cols[i]
		}
	}
	return nil
}

func (s *shape) byName(name string) *column {
	for i := range s.Cols {
		if s.Cols[i].Name == name {
			return &s.Cols[i]
		}
	}
	return nil
}

// difference is what to do about a table whose upstream looks different.
type difference struct {
	next   *shape                  // the shape after it
	change *connector.SchemaChange // nil: the table here stays as it is
	recopy bool                    // rows changed without a word in the log
	empty  bool                    // rows may have gone without a word
}

// compare says how a table here follows from the shape that it is in line with to the upstream's present one. nil: nothing to do.
func compare(t *connector.Table, known *shape, now *relation, types *resolver) *difference {
	d := &difference{next: &shape{OID: now.OID, Schema: now.Schema, Name: now.Name, File: now.File, Leaves: now.Leaves, Stale: known.Stale}}
	same := known.OID == now.OID
	match := func(c *column) *column {
		if same {
			return known.byNum(c.Num)
		}
		return known.byName(c.Name) // another table under the name
	}
	here := func(name string) *catalog.Column {
		for i := range t.Columns {
			if c := &t.Columns[i]; c.Name == name && c.Include == "" {
				return c
			}
		}
		return nil
	}
	change := &connector.SchemaChange{Table: t.ID, Rename: map[string]string{}}
	rewritten := known.File != now.File || now.Kind == "p"
	came, went := leavesMoved(known.Leaves, now.Leaves)
	d.recopy, d.empty = !same || came || went, !same || went
	follows := !slices.ContainsFunc(known.Cols, func(c column) bool { return here(c.Name) == nil }) // not a table of chosen columns
	touched := d.recopy || known.File != now.File || len(known.Leaves) != len(now.Leaves)
	for _, c := range now.Cols {
		old := match(&c)
		if old == nil {
			touched = true
			if follows {
				typ := types.resolve(c.Type, c.Mod)
				change.Add = append(change.Add, catalog.Column{Name: c.Name, Type: typ})
				d.recopy = d.recopy || c.Default || rewritten && now.Kind != "p" || slices.ContainsFunc(known.Cols, func(k column) bool { return k.Name == c.Name })
			}
			d.next.Cols = append(d.next.Cols, c)
			continue
		}
		next := c
		next.Was = old.Was
		mine := here(old.Name)
		if old.Name != c.Name {
			touched = true
			next.Was = append(slices.Clone(next.Was), old.Name)
			next.Was = next.Was[max(0, len(next.Was)-keptNames):]
			if mine != nil {
				change.Rename[old.Name] = c.Name
			}
		}
		switch {
		case old.Type != c.Type || old.Mod != c.Mod:
			touched = true
			before, after := types.resolve(old.Type, old.Mod), types.resolve(c.Type, c.Mod)
			if mine != nil && mine.Type == before && after != before {
				change.Retype = append(change.Retype, catalog.Column{Name: c.Name, Type: after})
			}
			d.recopy = d.recopy || rewritten || before.Kind != after.Kind || before.Elem != after.Elem
		case old.Version != c.Version:
			// The same type after a rewrite: ALTER COLUMN … TYPE … USING may have computed new values.
			touched = true
			d.recopy = d.recopy || rewritten && old.Name == c.Name && old.NotNull == c.NotNull && old.Default == c.Default
		}
		d.next.Cols = append(d.next.Cols, next)
	}
	for _, old := range known.Cols {
		still := now.byNum(old.Num)
		if !same {
			still = now.byName(old.Name)
		}
		if still != nil {
			continue
		}
		touched = true
		d.next.Gone = append(d.next.Gone, old)
		if here(old.Name) != nil {
			change.Drop = append(change.Drop, old.Name)
			d.recopy = d.recopy || len(t.Key) == 0 // rows that keep the column here could not be taken back
		}
	}
	// A change that was carried out just before a crash, and taken back upstream before it came again, has left a column here.
	for i := range t.Columns {
		name := t.Columns[i].Name
		if t.Columns[i].Include != "" || known.byName(name) != nil || now.byName(name) != nil {
			continue
		}
		if !slices.Contains(known.Told, name) {
			touched = true
			change.Drop = append(change.Drop, name)
			d.recopy = d.recopy || len(t.Key) == 0
		}
		d.next.Told = append(d.next.Told, name)
	}
	if !touched {
		return nil
	}
	for _, name := range change.Drop {
		if !slices.Contains(d.next.Told, name) {
			d.next.Told = append(d.next.Told, name)
		}
	}
	if same {
		d.next.Gone = append(d.next.Gone, known.Gone...)
		d.next.Gone = d.next.Gone[:min(len(d.next.Gone), keptNames)]
	}
	if len(change.Add)+len(change.Drop)+len(change.Rename)+len(change.Retype) > 0 {
		d.change = change
	}
	return d
}

// leavesMoved reports whether partitions came with rows of which the log says nothing (attached), or went, or lost theirs (detached,
// truncated by themselves).
func leavesMoved(known, now []leaf) (came, went bool) {
	for _, l := range known {
		i := slices.IndexFunc(now, func(n leaf) bool { return n.OID == l.OID })
		went = went || i < 0 || now[i].File != l.File
	}
	for _, n := range now {
		came = came || n.Attached && !slices.ContainsFunc(known, func(l leaf) bool { return l.OID == n.OID })
	}
	return came, went
}

// refile takes over the files of partitions that the log says were truncated.
func (s *shape) refile(now []leaf) {
	s.Leaves = slices.Clone(s.Leaves)
	for i, l := range s.Leaves {
		if k := slices.IndexFunc(now, func(n leaf) bool { return n.OID == l.OID }); k >= 0 {
			s.Leaves[i].File = now[k].File
		}
	}
}

// sent is a column as a relation message of the log describes it.
type sent struct {
	name string
	typ  uint32
	mod  int32
	key  bool
}

// align finds out which column of a shape each column of a relation message is: −1 for one that is not there any more. Both are in the order of the
// columns' numbers, so the best order-preserving match is sought; names count more than types. sure is false when some column
// is matched by its type alone.
func (s *shape) align(msg []sent) (nums []int16, sure bool) {
	all := slices.Concat(s.Cols, s.Gone)
	slices.SortStableFunc(all, func(a, b column) int { return int(a.Num) - int(b.Num) })
	score := func(m *sent, c *column) int {
		switch {
		case m.name == c.Name && m.typ == c.Type:
			return 9
		case m.name == c.Name:
			return 7
		case slices.Contains(c.Was, m.name):
			return 5
		case m.typ == c.Type:
			return 1
		}
		return 0
	}
	// best[i][j] is the best score of msg[i:] against all[j:].
	best := make([][]int, len(msg)+1)
	for i := range best {
		best[i] = make([]int, len(all)+1)
	}
	for i := len(msg) - 1; i >= 0; i-- {
		for j := len(all) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if p := score(&msg[i], &all[j]); p > 0 {
				best[i][j] = max(best[i][j], p+best[i+1][j+1])
			}
		}
	}
	nums = make([]int16, len(msg))
	sure = true
	i, j := 0, 0
	for i < len(msg) && j < len(all) {
		p := score(&msg[i], &all[j])
		switch {
		case p > 0 && best[i][j] == p+best[i+1][j+1]:
			nums[i] = all[j].Num
			sure = sure && p > 1
			i, j = i+1, j+1
		case best[i][j] == best[i][j+1]:
			j++
		default:
			nums[i] = -1
			i++
		}
	}
	for ; i < len(msg); i++ {
		nums[i] = -1
	}
	return nums, sure
}

// equals reports whether a relation message shows exactly this shape.
func (s *shape) equals(msg []sent) bool {
	if len(msg) != len(s.Cols) {
		return false
	}
	for i, c := range s.Cols {
		if m := &msg[i]; m.name != c.Name || m.typ != c.Type || m.mod != c.Mod {
			return false
		}
	}
	return true
}
