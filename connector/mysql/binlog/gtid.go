package binlog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Source is where MySQL numbers transactions: a server's UUID, and a tag (MySQL 8.3 and newer) or "".
type Source struct {
	UUID [16]byte
	Tag  string
}

// String writes a source as MySQL does.
func (s Source) String() string {
	h := hex.EncodeToString(s.UUID[:])
	u := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	if s.Tag != "" {
		u += ":" + s.Tag
	}
	return u
}

// GTID is the name of one transaction of MySQL.
type GTID struct {
	Source
	Number int64
}

// ReadGTID reads a TypeGTID or TypeGTIDTagged.
func ReadGTID(e Event) (GTID, error) {
	if e.Type == TypeGTIDTagged {
		return readTagged(e.Body)
	}
	var g GTID
	if len(e.Body) < 1+16+8 {
		return g, errShort
	}
	copy(g.UUID[:], e.Body[1:])
	g.Number = int64(binary.LittleEndian.Uint64(e.Body[17:]))
	return g, nil
}

// readTagged reads the newer form: numbered fields in a format of its own. Those after the tag are not looked at.
func readTagged(b []byte) (GTID, error) {
	var g GTID
	var err error
	next := func() (v uint64) {
		if err == nil {
			v, b, err = varlen(b)
		}
		return v
	}
	next() // version of the format
	next() // size
	next() // the last field that must be understood
	for err == nil && len(b) > 0 {
		switch id := next(); id {
		case 0: // flags
			next()
		case 1:
			for i := range g.UUID {
				g.UUID[i] = byte(next())
			}
		case 2:
			v := next()
			g.Number = int64(v >> 1)
			if v&1 != 0 {
				g.Number = ^g.Number
			}
		case 3:
			n := next()
			if err == nil && n > uint64(min(len(b), 32)) {
				return g, errShort
			}
			if err == nil {
				g.Tag = string(b[:n])
				return g, nil
			}
		default:
			return g, fmt.Errorf("field %d in a tagged GTID where the tag should be", id)
		}
	}
	return g, errShort
}

// varlen reads an unsigned number: the ones at the low end of the first byte count the bytes that follow, a zero ends them.
func varlen(b []byte) (uint64, []byte, error) {
	if len(b) == 0 {
		return 0, nil, errShort
	}
	more := 0
	for more < 8 && b[0]>>more&1 != 0 {
		more++
	}
	if len(b) < 1+more {
		return 0, nil, errShort
	}
	if more == 8 {
		return binary.LittleEndian.Uint64(b[1:]), b[9:], nil
	}
	v := uint64(b[0]) >> (more + 1)
	return v | little(b[1:1+more])<<(7-more), b[1+more:], nil
}

// Set is a set of transactions of MySQL. The zero value is empty.
type Set struct {
	sources map[Source][]interval
}

// interval is a range of numbers, from inclusive, to exclusive.
type interval struct{ from, to int64 }

var errSet = errors.New("not a set of GTIDs")

// ParseSet reads a set as MySQL writes it: 3e11fa47-…:1-5:9,… with tags between numbers.
func ParseSet(s string) (*Set, error) {
	out := &Set{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		fields := strings.Split(part, ":")
		var src Source
		id, err := hex.DecodeString(strings.ReplaceAll(fields[0], "-", ""))
		if err != nil || len(id) != 16 {
			return nil, fmt.Errorf("read %q: %w", part, errSet)
		}
		copy(src.UUID[:], id)
		for _, f := range fields[1:] {
			f = strings.TrimSpace(f)
			lo, hi, isRange := strings.Cut(f, "-")
			from, err := strconv.ParseInt(lo, 10, 64)
			if err != nil {
				src.Tag = strings.ToLower(f)
				continue
			}
			to := from
			if isRange {
				if to, err = strconv.ParseInt(hi, 10, 64); err != nil {
					return nil, fmt.Errorf("read %q: %w", part, errSet)
				}
			}
			if from < 1 || to < from {
				return nil, fmt.Errorf("read %q: %w", part, errSet)
			}
			out.add(src, interval{from, to + 1})
		}
	}
	return out, nil
}

// Add puts a transaction into the set.
func (s *Set) Add(g GTID) { s.add(g.Source, interval{g.Number, g.Number + 1}) }

func (s *Set) add(src Source, iv interval) {
	if s.sources == nil {
		s.sources = map[Source][]interval{}
	}
	list := s.sources[src]
	i, _ := slices.BinarySearchFunc(list, iv.from, func(x interval, from int64) int {
		if x.to < from {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(list) && list[j].from <= iv.to; j++ {
		iv.from, iv.to = min(iv.from, list[j].from), max(iv.to, list[j].to)
	}
	s.sources[src] = slices.Replace(list, i, j, iv)
}

// Has reports whether a transaction is in the set.
func (s *Set) Has(g GTID) bool {
	for _, iv := range s.sources[g.Source] {
		if g.Number >= iv.from && g.Number < iv.to {
			return true
		}
	}
	return false
}

func (s *Set) sorted() []Source {
	out := make([]Source, 0, len(s.sources))
	for src := range s.sources {
		out = append(out, src)
	}
	slices.SortFunc(out, func(a, b Source) int {
		if c := bytes.Compare(a.UUID[:], b.UUID[:]); c != 0 {
			return c
		}
		return strings.Compare(a.Tag, b.Tag)
	})
	return out
}

// String writes the set as MySQL does.
func (s *Set) String() string {
	var b strings.Builder
	var last *Source
	for _, src := range s.sorted() {
		switch {
		case last == nil:
			b.WriteString(src.String())
		case last.UUID == src.UUID:
			b.WriteString(":" + src.Tag)
		default:
			b.WriteString("," + src.String())
		}
		last = &src
		for _, iv := range s.sources[src] {
			fmt.Fprintf(&b, ":%d", iv.from)
			if iv.to > iv.from+1 {
				fmt.Fprintf(&b, "-%d", iv.to-1)
			}
		}
	}
	return b.String()
}

// Encode writes the set as COM_BINLOG_DUMP_GTID takes it; with tags in the form of MySQL 8.3.
func (s *Set) Encode() []byte {
	sources := s.sorted()
	tagged := slices.ContainsFunc(sources, func(src Source) bool { return src.Tag != "" })
	var b []byte
	if tagged {
		// The highest and the lowest byte are the format, 1; the number of sources is between them.
		b = binary.LittleEndian.AppendUint64(nil, uint64(len(sources))<<8|1|1<<56)
	} else {
		b = binary.LittleEndian.AppendUint64(nil, uint64(len(sources)))
	}
	for _, src := range sources {
		b = append(b, src.UUID[:]...)
		if tagged {
			b = append(append(b, byte(len(src.Tag)<<1)), src.Tag...)
		}
		list := s.sources[src]
		b = binary.LittleEndian.AppendUint64(b, uint64(len(list)))
		for _, iv := range list {
			b = binary.LittleEndian.AppendUint64(b, uint64(iv.from))
			b = binary.LittleEndian.AppendUint64(b, uint64(iv.to))
		}
	}
	return b
}
