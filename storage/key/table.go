package key

import "encoding/binary"

// VNodes is the number of virtual nodes. A row's vnode is Hash of its distribution key & (VNodes-1).
const VNodes = 256

// PrefixLen is the length of [table u32][vnode u16], in bytes.
const PrefixLen = 6

// Range is the half-open range of keys [Lo, Hi). A nil Hi has no upper end.
type Range struct{ Lo, Hi []byte }

// Contains tells whether k lies in the range.
func (r Range) Contains(k []byte) bool {
	return string(k) >= string(r.Lo) && (r.Hi == nil || string(k) < string(r.Hi))
}

// AppendPrefix appends the table and the vnode, both big-endian. The vnode comes before the primary
// key so that moving a vnode is one contiguous range of keys.
func AppendPrefix(dst []byte, table uint32, vnode uint16) []byte {
	dst = binary.BigEndian.AppendUint32(dst, table)
	return binary.BigEndian.AppendUint16(dst, vnode)
}

// TableKey returns the key of a row in its shard: [table u32][vnode u16][pk].
func TableKey(table uint32, vnode uint16, pk []byte) []byte {
	dst := make([]byte, 0, PrefixLen+len(pk))
	return append(AppendPrefix(dst, table, vnode), pk...)
}

// Split takes a key of a shard apart. pk is a part of k.
func Split(k []byte) (table uint32, vnode uint16, pk []byte, err error) {
	if len(k) < PrefixLen {
		return 0, 0, nil, ErrCorrupt
	}
	return binary.BigEndian.Uint32(k), binary.BigEndian.Uint16(k[4:]), k[PrefixLen:], nil
}

// TableRange returns the keys of one table, over all vnodes.
func TableRange(table uint32) Range {
	return PrefixRange(binary.BigEndian.AppendUint32(nil, table))
}

// VNodeRange returns the keys of one vnode of one table.
func VNodeRange(table uint32, vnode uint16) Range {
	return PrefixRange(AppendPrefix(nil, table, vnode))
}

// PrefixRange returns the keys that begin with prefix.
func PrefixRange(prefix []byte) Range { return Range{Lo: prefix, Hi: PrefixEnd(prefix)} }

// PrefixEnd returns the smallest key above all keys that begin with prefix, or nil when there is
// none (an empty prefix, or all bytes FF). The result is a new slice.
func PrefixEnd(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xFF {
			end := append([]byte(nil), prefix[:n]...)
			end[n-1]++
			return end
		}
	}
	return nil
}
